// Package original reads profiles as the original leaves them in its store: nine files, each a
// line of text and a pickle (protocols 0 to 5) of its own objects. They are decoded as data:
// no code of theirs is run, and a class that is not on the list in object.go stands for nothing.
// No file is ever written or removed.
//
//	p, err := original.Read("/etc/jasmin/store", "jcli-prod")
//	for _, r := range p.Refused { ... }      // what could not be taken, object by object
//	err = store.Load(p.Document)
package original

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"jasmind/internal/provision"
)

// suffixes are what the files of a profile have behind its name.
var suffixes = []string{
	".router-groups", ".router-users", ".filters", ".smppccs", ".httpccs", ".router-mtroutes", ".router-moroutes", ".router-mtinterceptors",
	".router-mointerceptors",
}

const (
	headerStart = "Persisted on "
	maxHeader   = 4096
)

// Remark is something to tell the operator of one object, such as user alice: password: is missing.
type Remark struct{ Object, Text string }

// String is the object and the text.
func (r Remark) String() string { return r.Object + ": " + r.Text }

// Profile is a profile of the original as a configuration of ours.
type Profile struct {
	Document *provision.Document
	Files    []string // that were read, without their folder
	Refused  []Remark // what is not in Document
	Changed  []Remark // what is in Document with another meaning, or less
}

// Files lists the files of a profile in a folder, without the folder.
func Files(dir, name string) []string {
	var out []string
	for _, suffix := range suffixes {
		if info, err := os.Stat(filepath.Join(dir, name+suffix)); err == nil && info.Mode().IsRegular() {
			out = append(out, name+suffix)
		}
	}
	return out
}

// Names lists the profiles in a folder.
func Names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // whoever needs the folder says so
	}
	var out []string
	for _, e := range entries {
		for _, suffix := range suffixes {
			if name, ok := strings.CutSuffix(e.Name(), suffix); ok && name != "" && e.Type().IsRegular() && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Read reads a profile. The error wraps fs.ErrNotExist if there is none; else it says which
// file cannot be read, and why. What is wrong with single objects is in the Profile.
func Read(dir, name string) (*Profile, error) {
	p := &Profile{Files: Files(dir, name)}
	if len(p.Files) == 0 {
		return nil, fmt.Errorf("profile %s of the original in %s: %w", name, dir, fs.ErrNotExist)
	}
	roots := make(map[string]any, len(suffixes))
	var errs []error
	for _, suffix := range suffixes {
		file := name + suffix
		if !slices.Contains(p.Files, file) {
			p.Changed = append(p.Changed, Remark{"file " + file, "is not there, though others of this profile are"})
			continue
		}
		root, refused, err := readFile(filepath.Join(dir, file))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, class := range refused {
			p.Refused = append(p.Refused, Remark{"file " + file, "objects of class " + class + " are refused"})
		}
		roots[suffix] = root
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, p.convert(filepath.Join(dir, name), roots)
}

// readFile reads one file of a profile.
func readFile(path string) (root any, refused []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(content) > maxFile {
		return nil, nil, fmt.Errorf("%s is longer than %d octets", path, maxFile)
	}
	if root, refused, err = parse(content); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return root, refused, err
}

// parse reads the content of a file.
func parse(content []byte) (root any, refused []string, err error) {
	header, data, ok := bytes.Cut(content, []byte("\n"))
	if !ok || len(header) > maxHeader || !bytes.HasPrefix(header, []byte(headerStart)) {
		return nil, nil, errors.New("does not begin with the line " + headerStart + "... of the original")
	}
	return decode(data)
}

// convert makes a document of what was read. path is that of the profile without the suffixes.
func (p *Profile) convert(path string, roots map[string]any) error {
	store := provision.NewStore()
	err := store.Apply(func(d *provision.Draft) error {
		t := &taker{profile: p, draft: d, path: path}
		for _, g := range t.list(".router-groups", roots) {
			t.group(g)
		}
		for _, u := range t.list(".router-users", roots) {
			t.user(u)
		}
		t.filters(t.entries("file", ".filters", roots[".filters"]))
		for _, c := range t.list(".smppccs", roots) {
			t.smppConnector(c)
		}
		for _, e := range t.entries("file", ".httpccs", roots[".httpccs"]) {
			t.httpConnector(e.Value)
		}
		t.tables(roots)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	content, err := store.Snapshot().Encode()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if p.Document, err = provision.ParseSaved(path, content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// taker takes objects of the original into a draft, one at a time.
type taker struct {
	profile *Profile
	draft   *provision.Draft
	path    string            // of the profile, without the suffixes
	fids    map[string]string // of filters, by what they are
}

func (t *taker) refuse(object string, err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		t.profile.Refused = append(t.profile.Refused, Remark{object, line})
	}
}

func (t *taker) remark(object, format string, args ...any) {
	t.profile.Changed = append(t.profile.Changed, Remark{object, fmt.Sprintf(format, args...)})
}

// list gives the elements of a file that is a list.
func (t *taker) list(suffix string, roots map[string]any) []any {
	root, ok := roots[suffix]
	if !ok {
		return nil
	}
	l, ok := root.(*types.List)
	if !ok {
		t.refuse("file "+filepath.Base(t.path)+suffix, errors.New("is no list"))
		return nil
	}
	return *l
}

// entries gives the entries of a dictionary; that of a file may be absent.
func (t *taker) entries(object, suffix string, v any) []types.DictEntry {
	switch v := v.(type) {
	case *types.Dict:
		return *v
	case nil:
		return nil
	}
	t.refuse(object+" "+filepath.Base(t.path)+suffix, errors.New("is no dictionary"))
	return nil
}
