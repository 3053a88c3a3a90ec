// Package profile keeps configurations on disk: one readable file for each profile, in the
// syntax of provisioning files with a version in front, written whole or not at all. What
// a provisioning file declares is not in it. Passwords of users are hashes; those of
// connectors are in the clear, since the gateway has to send them, so the files are the
// owner's alone. Where there is no profile of ours under a name, that of the original is read
// (package original).
//
//	p, err := profile.Open(profile.Config{Dir: "/etc/jasmin/store"}, store, log)
//	err = p.LoadAtStart()               // jcli-prod, if there is one
//	go p.Run(ctx, 60*time.Second)       // saves what has changed, every so often
//	err = p.Save()                      // saves what has changed, now
//	err = p.Persist("testing")
package profile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"jasmind/internal/profile/original"
	"jasmind/internal/provision"
)

// Default is the profile that is loaded at start.
const Default = "jcli-prod"

// Version is that of the files that this program writes, and the newest that it reads.
const Version = 1

const (
	suffix     = ".profile.yaml"
	tempSuffix = ".tmp"
	maxFile    = 256 << 20
)

// header are the top-level keys of a profile that are not part of the configuration.
var header = []string{"version", "profile", "saved"}

// Config says where profiles are.
type Config struct {
	Dir string // store_path; it is made if it does not exist
	// Say tells the operator, on stdout, what becomes of profiles of the original; nil: only the log has it.
	Say func(line string)
}

// Profiles are the profiles of one folder. It is safe for concurrent use.
type Profiles struct {
	dir   string
	store *provision.Store
	say   func(line string)
	log   *slog.Logger

	mu sync.Mutex // one profile at a time; guards what follows
	// current is where Run saves to: the profile that was loaded last.
	current string
	version uint64   // of the configuration that is on disk in current
	sum     [32]byte // of the configuration that is on disk in current
}

// Open opens the folder of the profiles, and removes what an interrupted save has left.
func Open(cfg Config, store *provision.Store, log *slog.Logger) (*Profiles, error) {
	if cfg.Dir == "" {
		return nil, errors.New("store_path: is missing")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store_path: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(globQuote(cfg.Dir), ".*"+suffix+".*"+tempSuffix))
	if err != nil {
		return nil, fmt.Errorf("store_path: %w", err)
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			return nil, fmt.Errorf("store_path: %w", err)
		}
	}
	if cfg.Say == nil {
		cfg.Say = func(string) {}
	}
	return &Profiles{dir: cfg.Dir, store: store, say: cfg.Say, log: log, current: Default}, nil
}

var globSpecial = regexp.MustCompile(`[\\*?\[]`)

func globQuote(path string) string { return globSpecial.ReplaceAllString(path, `\$0`) }

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// Path is the file of a profile. The error says what is wrong with the name.
func Path(dir, name string) (string, error) {
	if !nameForm.MatchString(name) {
		return "", fmt.Errorf("profile name %q: must be 1 to 64 characters of A-Z, a-z, 0-9, _, . and -, beginning with a letter, a digit or _", name)
	}
	return filepath.Join(dir, name+suffix), nil
}

// Persist saves the configuration as a profile. When it returns nil, the file is on disk;
// else the file is as it was.
func (p *Profiles) Persist(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.persist(name, true)
}

func (p *Profiles) persist(name string, always bool) error {
	snap := p.store.Snapshot()
	content, err := snap.Encode()
	if err != nil {
		return fmt.Errorf("profile %s: %w", name, err)
	}
	sum := sha256.Sum256(content)
	if always || sum != p.sum {
		if err := write(p.dir, name, content); err != nil {
			return err
		}
	}
	if name == p.current {
		p.version, p.sum = snap.Version(), sum
	}
	return nil
}

// Load replaces the configuration by a profile: what a provisioning file declares stays,
// and so does what is in the profile alike. If there is none of ours under the name, it is that of
// the original, and each object of it that could not be taken is named. When it fails, nothing
// has changed. The error wraps fs.ErrNotExist if there is no such profile.
func (p *Profiles) Load(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	doc, theirs, err := find(p.dir, name)
	if err != nil {
		return err
	}
	if err := p.store.Load(doc); err != nil {
		var faults provision.Faults
		if theirs != nil && errors.As(err, &faults) {
			for i := range faults {
				faults[i].Line = 0 // of a text that is in no file
			}
		}
		return fmt.Errorf("profile %s: %w", name, err)
	}
	if theirs != nil {
		p.reportTaken(name, theirs)
	} else if files := original.Files(p.dir, name); len(files) > 0 {
		p.log.Warn("files of the original are not read, since there is a profile of jasmind under their name; move them elsewhere", "profile", name, "dir", p.dir, "files", files)
		p.say(fmt.Sprintf("Profile %s is that of jasmind: the files of the original under that name are NOT READ (%s).", name, strings.Join(files, ", ")))
	}
	p.current = name
	return p.remember()
}

// reportTaken tells what was taken from a profile of the original, and what was not.
func (p *Profiles) reportTaken(name string, theirs *original.Profile) {
	p.log.Info("profile of the original taken", "profile", name, "dir", p.dir, "files", theirs.Files, "refused", len(theirs.Refused))
	p.say(fmt.Sprintf("Profile %s of the original is taken, its files stay as they are: %s.", name, theirs.Document))
	for _, r := range theirs.Refused {
		p.log.Error("not taken from the profile of the original", "profile", name, "object", r.Object, "why", r.Text)
		p.say("NOT TAKEN: " + r.String())
	}
	for _, r := range theirs.Changed {
		p.log.Warn("taken from the profile of the original, but", "profile", name, "object", r.Object, "what", r.Text)
		p.say("Taken, but " + r.String())
	}
}

// find reads a profile of ours or, if there is none under the name, that of the original.
func find(dir, name string) (doc *provision.Document, theirs *original.Profile, err error) {
	doc, err = read(dir, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return doc, nil, err
	}
	theirs, errTheirs := original.Read(dir, name)
	switch {
	case errors.Is(errTheirs, fs.ErrNotExist):
		return nil, nil, err
	case errTheirs != nil:
		return nil, nil, fmt.Errorf("profile %s of the original: %w", name, errTheirs)
	}
	return theirs.Document, theirs, nil
}

// remember takes the configuration as it is for what is on disk.
func (p *Profiles) remember() error {
	snap := p.store.Snapshot()
	content, err := snap.Encode()
	if err != nil {
		return fmt.Errorf("profile %s: %w", p.current, err)
	}
	p.version, p.sum = snap.Version(), sha256.Sum256(content)
	return nil
}

// LoadAtStart loads the default profile if there is one. A file that cannot be read, or
// that a newer version has written, is an error that should stop the start: the file
// is left as it is.
func (p *Profiles) LoadAtStart() error {
	for _, name := range original.Names(p.dir) {
		if path, err := Path(p.dir, name); err != nil || name == Default {
			continue
		} else if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			p.log.Warn("there is a profile of the original that is not loaded at start", "profile", name, "dir", p.dir)
			p.say(fmt.Sprintf("Profile %s of the original is not loaded at start: load -p %s takes it.", name, name))
		}
	}
	err := p.Load(Default)
	switch {
	case err == nil:
		p.log.Info("profile loaded", "profile", Default, "dir", p.dir)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	p.log.Info("there is no profile to load", "profile", Default, "dir", p.dir)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remember()
}

// Run saves the configuration to the profile that was loaded last, every so often, if it
// has changed since (persistence_timer_secs), until ctx ends. What cannot be saved is
// logged and tried again. With every of 0 it only waits for ctx.
func (p *Profiles) Run(ctx context.Context, every time.Duration) {
	if every <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.Save(); err != nil {
				p.log.Error("configuration was not saved", "err", err)
			}
		}
	}
}

// Save saves the configuration to the profile that was loaded last, if it has changed since.
func (p *Profiles) Save() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store.Snapshot().Version() == p.version {
		return nil
	}
	if err := p.persist(p.current, false); err != nil {
		return err
	}
	p.log.Info("configuration saved", "profile", p.current)
	return nil
}

// Export gives a profile as a provisioning file; of one of the original, comments say what could not
// be taken, and what has another meaning.
func Export(dir, name string) ([]byte, error) {
	doc, theirs, err := find(dir, name)
	if err != nil {
		return nil, err
	}
	content, err := doc.Encode()
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	head := "# Exported from profile " + name + " of jasmind.\n"
	if theirs != nil {
		head = "# Exported from profile " + name + " of the original.\n"
		for _, r := range theirs.Refused {
			head += fmt.Sprintf("# Not taken: %q\n", r.String())
		}
		for _, r := range theirs.Changed {
			head += fmt.Sprintf("# Taken, but: %q\n", r.String())
		}
	}
	return append([]byte(head), content...), nil
}

// Import makes a profile of a provisioning file. Passwords in the clear become hashes,
// which takes tens of milliseconds for each. A profile that exists is only replaced if
// replace is set.
func Import(dir, name, file string, replace bool) error {
	path, err := Path(dir, name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !replace {
		return fmt.Errorf("profile %s: %s: %w", name, path, fs.ErrExist)
	}
	doc, err := provision.ParseFile(file)
	if err != nil {
		return err
	}
	if err := doc.HashPasswords(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	content, err := doc.Encode()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store_path: %w", err)
	}
	return write(dir, name, content)
}

// read reads a profile.
func read(dir, name string) (*provision.Document, error) {
	path, err := Path(dir, name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("profile %s: %s is longer than %d octets", name, path, maxFile)
	}
	var head struct {
		Version *int `yaml:"version"`
	}
	if err := yaml.Unmarshal(content, &head); err != nil {
		return nil, fmt.Errorf("profile %s: %s is damaged: %w", name, path, err)
	}
	switch {
	case head.Version == nil:
		return nil, fmt.Errorf("profile %s: %s has no version, it is no profile", name, path)
	case *head.Version > Version:
		return nil, fmt.Errorf("profile %s: %s is of version %d, written by a newer jasmind; this one reads version %d", name, path, *head.Version, Version)
	case *head.Version < 1:
		return nil, fmt.Errorf("profile %s: %s: version %d does not exist", name, path, *head.Version)
	}
	doc, err := provision.ParseSaved(path, content, header...)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return doc, nil
}

// write puts a profile into its place in one step: a reader, and a machine that loses its
// power, sees the old file or the new one.
func write(dir, name string, content []byte) (err error) {
	path, err := Path(dir, name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("profile %s: %w", name, err)
		}
	}()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Configuration profile of jasmind. Passwords of users are hashes.\nversion: %d\nprofile: %s\nsaved: %s\n",
		Version, name, time.Now().UTC().Format(time.RFC3339))
	b.Write(content)
	f, err := os.CreateTemp(dir, "."+name+suffix+".*"+tempSuffix) // for the owner alone
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
