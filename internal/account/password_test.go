package account

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestHashIsReadBack(t *testing.T) {
	p, err := HashPassword("bar")
	if err != nil {
		t.Fatal(err)
	}
	text, ok := p.Hash()
	if !ok || !strings.HasPrefix(text, "$argon2id$v=19$m=7168,t=5,p=1$") {
		t.Fatalf("got %q %v", text, ok)
	}
	q, err := ParseHash(strings.TrimPrefix(text, "$")) // as the provisioning file has it
	if err != nil || p != q {
		t.Errorf("got %#v, %v, want %#v", q, err, p)
	}
	if r, _ := HashPassword("bar"); r == p {
		t.Error("two hashes of one password are equal: no salt")
	}
	if s := fmt.Sprint(p); s != "argon2id" {
		t.Errorf("prints as %q", s)
	}
}

// The digest is what the reference implementation of argon2 computes for these inputs:
// argon2 somesalt -id -t 1 -k 64 -p 1 -l 24.
func TestHashOfAnotherProgramIsAccepted(t *testing.T) {
	digest, err := hex.DecodeString("655ad15eac652dc59f7170a7332bf49b8469be1fdb9c28bb")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParseHash("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + base64.RawStdEncoding.EncodeToString(digest))
	if err != nil {
		t.Fatal(err)
	}
	if ok, fresh := p.verify("password"); !ok || fresh != nil {
		t.Errorf("got %v %v", ok, fresh)
	}
	if ok, _ := p.verify("Password"); ok {
		t.Error("a wrong password is right")
	}
}

func TestParseHashRefuses(t *testing.T) {
	good := "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43)
	if _, err := ParseHash(good); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	for old, replacement := range map[string]string{
		"v=19": "v=16", "m=64": "m=4", "t=2": "t=0", "p=1": "p=0", "m=64,t": "m=2097152,t", "m=64,t=2": "m=1048576,t=5",
		"$c29tZXNhbHQ": "$c29t", "m=64,": "m=064,", "t=2,": "t=+2,", ",p=1": ",p=1,x=1", "c29tZXNhbHQ": "c29tZXNhbHR",
		strings.Repeat("A", 43): "AAAA", "$m=": "$", "argon2id": "argon2i",
	} {
		s := strings.Replace(good, old, replacement, 1)
		if p, err := ParseHash(s); err == nil {
			t.Errorf("%s is accepted as %#v", s, p)
		} else if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("the error tells the hash: %v", err)
		}
	}
	for _, s := range []string{"", "bar", "37b51d194a7513e45b56f6524f2d51f", "zzb51d194a7513e45b56f6524f2d51f2", "argon2id", "argon2id$"} {
		if _, err := ParseHash(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestPasswordsThatCannotBeAreRefused(t *testing.T) {
	for _, s := range []string{"", strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword(s); err == nil {
			t.Errorf("HashPassword takes %d octets", len(s))
		}
		if _, err := DeclaredPassword(s); err == nil {
			t.Errorf("DeclaredPassword takes %d octets", len(s))
		}
	}
	if p, err := DeclaredPassword("bar"); err != nil {
		t.Error(err)
	} else if _, ok := p.Hash(); ok {
		t.Error("a declared password claims to have a hash")
	}
	if ok, _ := new(Password).verify("bar"); ok {
		t.Error("the zero Password matches")
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 43))
	f.Add("37b51d194a7513e45b56f6524f2d51f2")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseHash(s)
		if err != nil {
			return
		}
		text, ok := p.Hash()
		q, err := ParseHash(text)
		if !ok || err != nil || p != q {
			t.Fatalf("%q prints as %q, which reads as %#v, %v", s, text, q, err)
		}
	})
}

func TestMatches(t *testing.T) {
	argon, err := HashPassword("jclipwd")
	if err != nil {
		t.Fatal(err)
	}
	md5, err := ParseHash("79e9b0aa3f3e7c53e916f7ac47439bcb")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Password{"argon2id": argon, "MD5": md5} {
		if !p.Matches("jclipwd") || p.Matches("jclipwd2") || p.Matches("") {
			t.Errorf("%s", name)
		}
	}
	if none := (Password{}); none.Matches("") || none.Matches("x") {
		t.Error("the zero Password matches")
	}
}
