package provision

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"jasmind/internal/account"
	"jasmind/internal/sms"
)

// Document is a provisioning file that was read and has no fault. It is complete in
// itself: what it refers to is declared in it.
type Document struct {
	path string
	state
	passwords map[sms.UserID]string // as the file has them, to see whether they change
	lines     map[Key]int
}

// Fault is something wrong in a provisioning file.
type Fault struct {
	File string
	Line int // 0: of the file as a whole
	Text string
}

// Error is file:line: text.
func (f Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return f.File + ":" + strconv.Itoa(f.Line) + ": " + f.Text
}

// Faults are all that is wrong in a provisioning file, in the order of its lines.
type Faults []Fault

// Error has a line for each fault, of which there can be many: it stops after 200.
func (fs Faults) Error() string {
	const most = 200
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == most {
			fmt.Fprintf(&b, "and %d more faults", len(fs)-most)
			break
		}
		b.WriteString(f.Error())
	}
	return b.String()
}

// maxFile bounds a provisioning file; a user takes about 100 octets.
const maxFile = 64 << 20

// ParseFile reads and validates a provisioning file. What is wrong with its content comes
// as Faults, all of them at once.
func ParseFile(path string) (*Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("provisioning file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("provisioning file: %w", err)
	}
	if len(content) > maxFile {
		return nil, Faults{{File: path, Text: fmt.Sprintf("is longer than %d octets", maxFile)}}
	}
	return Parse(path, content)
}

// Parse reads and validates the content of a provisioning file; path names it in faults.
func Parse(path string, content []byte) (*Document, error) { return parse(path, content, nil) }

// ParseSaved reads what Encode wrote, which may refer to what a provisioning file declares:
// Load looks at that. The top-level keys of header are the caller's and are skipped.
func ParseSaved(path string, content []byte, header ...string) (*Document, error) {
	return parse(path, content, append([]string{}, header...))
}

// parse reads a provisioning file, or a saved one if header is not nil.
func parse(path string, content []byte, header []string) (*Document, error) {
	r := reader{
		doc:        &Document{path: path, state: newState(), passwords: map[sms.UserID]string{}, lines: map[Key]int{}},
		fieldLines: map[Key]map[string]int{}, header: header,
	}
	if root, ok := r.root(content); ok {
		r.sections(root)
		known := r.declares
		if header != nil {
			known = func(Key) bool { return true }
		}
		for _, f := range r.doc.check(known) {
			line, ok := r.fieldLines[f.key][f.field]
			if !ok && f.field == "connector" {
				line, ok = r.fieldLines[f.key]["connectors"]
			}
			if !ok {
				line = r.doc.lines[f.key]
			}
			r.fault(line, "%s", f)
		}
	}
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return nil, r.faults
	}
	return r.doc, nil
}

// reader turns YAML nodes into a Document and collects faults. Things with a fault of
// their own are left out of the document, yet their keys are in lines.
type reader struct {
	doc        *Document
	faults     Faults
	fieldLines map[Key]map[string]int
	header     []string // top-level keys that are no sections
}

func (r *reader) fault(line int, format string, args ...any) {
	r.faults = append(r.faults, Fault{File: r.doc.path, Line: line, Text: fmt.Sprintf(format, args...)})
}

// declares tells whether the file declares a thing, with faults or without.
func (r *reader) declares(k Key) bool { _, ok := r.doc.lines[k]; return ok }

var yamlLine = regexp.MustCompile(`^yaml: line ([0-9]+): `)

// root gives the mapping at the top of the only YAML document; nil for an empty file.
func (r *reader) root(content []byte) (root *yaml.Node, ok bool) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var top yaml.Node
	err := dec.Decode(&top)
	if errors.Is(err, io.EOF) {
		return nil, true
	}
	if err == nil {
		var second yaml.Node
		if err = dec.Decode(&second); err == nil {
			r.fault(second.Line, "a second YAML document is not allowed")
			return nil, false
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		text, line := err.Error(), 0
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = text[len(m[0]):]
		}
		r.fault(line, "not YAML: %s", strings.TrimPrefix(text, "yaml: "))
		return nil, false
	}
	if len(top.Content) != 1 {
		return nil, true
	}
	root = top.Content[0]
	if root.ShortTag() == "!!null" {
		return nil, true
	}
	if root.Kind != yaml.MappingNode {
		r.fault(root.Line, "must be a mapping of sections such as users and mt_routes, not %s", describe(root))
		return nil, false
	}
	return root, true
}

// section is one top-level key of the file: a list of entries.
type section struct {
	name string
	read func(r *reader, e *entry)
}

// sectionTable lists the sections in the order in which they are read.
var sectionTable = []section{
	{"groups", (*reader).group},
	{"users", (*reader).user},
	{"filters", (*reader).filter},
	{"smpp_connectors", (*reader).smppConnector},
	{"http_connectors", (*reader).httpConnector},
	{"mt_routes", (*reader).mtRoute},
	{"mo_routes", (*reader).moRoute},
	{"mt_interceptors", (*reader).mtInterceptor},
	{"mo_interceptors", (*reader).moInterceptor},
}

func (r *reader) sections(root *yaml.Node) {
	if root == nil {
		return
	}
	nodes := map[string]*yaml.Node{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		known := slices.ContainsFunc(sectionTable, func(s section) bool { return s.name == key.Value })
		switch {
		case key.Kind == yaml.ScalarNode && slices.Contains(r.header, key.Value):
		case key.Kind != yaml.ScalarNode || !known:
			r.fault(key.Line, "unknown section %s, must be one of %s", quote(key), sectionNames())
		case nodes[key.Value] != nil:
			r.fault(key.Line, "section %s is there twice, first in line %d", key.Value, nodes[key.Value].Line)
		default:
			nodes[key.Value] = value
		}
	}
	for _, s := range sectionTable {
		node := nodes[s.name]
		if node == nil || node.ShortTag() == "!!null" {
			continue
		}
		if node.Kind != yaml.SequenceNode {
			r.fault(node.Line, "%s: must be a list, not %s", s.name, describe(node))
			continue
		}
		for _, item := range node.Content {
			if item.Kind != yaml.MappingNode {
				r.fault(item.Line, "%s: each entry must be a mapping, not %s", s.name, describe(item))
				continue
			}
			e := r.entry(s.name, item)
			s.read(r, e)
			e.finish()
		}
	}
}

func sectionNames() string {
	names := make([]string, len(sectionTable))
	for i, s := range sectionTable {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

// quote shows a node in a message.
func quote(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return strconv.Quote(n.Value)
	}
	return describe(n)
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (they are not supported here)"
	case yaml.ScalarNode:
		return "a single value"
	case yaml.DocumentNode:
		return "a document"
	}
	return "nothing"
}

// count tells how many things of a kind a document declares.
func (doc *Document) count(k Kind) int {
	n := 0
	for key := range doc.lines {
		if key.Kind == k {
			n++
		}
	}
	return n
}

// String tells what the document declares, for a log line.
func (doc *Document) String() string {
	return fmt.Sprintf("%d groups, %d users, %d filters, %d SMPP connectors, %d HTTP connectors, %d MT routes, %d MO routes, %d MT interceptors, %d MO interceptors",
		doc.count(KindGroup), doc.count(KindUser), doc.count(KindFilter), doc.count(KindSMPPConnector), doc.count(KindHTTPConnector), doc.count(KindMTRoute), doc.count(KindMORoute),
		doc.count(KindMTInterceptor), doc.count(KindMOInterceptor))
}

// password keeps a password of the file: a hash as it is, anything else as in the clear.
func password(text string) (account.Password, error) {
	if account.LooksHashed(text) {
		return account.ParseHash(text)
	}
	return account.DeclaredPassword(text)
}
