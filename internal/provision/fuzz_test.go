package provision

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"jasmind/internal/account"
)

// FuzzEncode checks that whatever a file may declare survives being saved: the saved form is read without a fault, says
// the same of everything, and is saved alike again.
func FuzzEncode(f *testing.F) {
	files, err := filepath.Glob(testdata + "/good/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("groups: [{gid: g1}]\n" + savedThings))
	const hash = "37b51d194a7513e45b56f6524f2d51f2"
	known, err := account.ParseHash(hash)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if bytes.Contains(content, []byte("://")) {
			return // a script would be fetched
		}
		doc, err := Parse("x.yaml", content)
		if err != nil {
			return
		}
		for uid, u := range doc.users { // hashing takes too long here
			u.Password, doc.passwords[uid] = known, hash
		}
		saved, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSaved("saved.yaml", saved)
		if err != nil {
			t.Fatalf("%v\n%s", err, saved)
		}
		for key := range doc.lines {
			if !doc.declaresAlike(again, key) {
				t.Errorf("%s differs in\n%s", key, saved)
			}
		}
		if twice, err := again.Encode(); err != nil || !bytes.Equal(twice, saved) {
			t.Errorf("%v\n%s\nis saved as\n%s", err, saved, twice)
		}
	})
}
