// Package internal holds the test of the package map: which package may import which.
package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A layer is a set of packages with the same rights. A package belongs to the layer that
// names it or, failing that, the folder nearest above it.
type layer struct {
	name     string
	packages string // below the module's root; internal/ is left out
	may      string // layers that they may import
	testsMay string // layers that their test files may import as well
}

// always may be imported by the test files of every layer.
const always = "kit testenv"

// real is what a test of the rings 1 to 3 may use instead of a fake.
const real = "database embedded-driver embedded-journal services-driver services-journal"

// layers is the map of docs/ARCHITECTURE.md. Imports point down; what is not listed is
// forbidden, among them imports between the packages of one layer unless it names itself.
var layers = []layer{
	// ring 0: octets in, structs out
	{"protocol", "smpp/pdu smpp/receipt smpp smstext", "protocol", ""},
	// leaves
	{"leaf", "admission certs logging metrics", "", "leaf"},
	{"database", "localdb", "leaf", ""},
	// ring 1: the values that travel
	{"domain", "sms account routing intercept billing queue journal smppc provision", "domain leaf protocol", real},
	// ring 2: the journeys; they meet through values, queues and small interfaces
	{"flow", "mt connector dlr mo throw deadletter", "domain leaf protocol", real + " simulator"},
	// ring 3: doors call the flow, drivers are called by it
	{"door", "httpapi smppserver jcli", "flow domain leaf protocol", real},
	{"embedded-driver", "queue/pebble store/pebble", "domain leaf protocol database", ""},
	{"services-driver", "queue/rabbit store/redis", "domain leaf protocol", ""},
	{"embedded-journal", "journal/embedded", "embedded-driver domain leaf protocol database", ""},
	{"services-journal", "journal/services", "services-driver domain leaf protocol", "services-driver"},
	{"profile", "profile", "domain leaf protocol", ""},
	// ring 4: everything is wired here and nowhere else
	{"assembly", "config gateway daemon", "assembly door embedded-journal services-journal embedded-driver services-driver profile database flow domain leaf protocol", "simulator load"},
	// beside the rings: they must not share the gateway's mistakes
	{"simulator", "smscsim", "protocol", ""},
	{"load", "loadgen", "protocol", "simulator"},
	{"demo", "demo", "", ""},
	// the programs
	{"daemon", "cmd/jasmind", "assembly flow domain leaf protocol", "simulator assembly"},
	{"simulator-program", "cmd/smsc-sim", "simulator protocol", ""},
	{"load-program", "cmd/loadgen", "load protocol", "simulator"},
	// test code
	{"kit", "certs/certstest smpp/smpptest queue/queuetest store/storetest journal/journaltest", "kit domain protocol", ""},
	{"testenv", "testenv", "", ""},
	{"anything", "features benchmarks internal", "*", "*"},
}

const module = "jasmind"

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Error        *struct{ Err string }
}

func TestImportsFollowThePackageMap(t *testing.T) {
	table, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	packages := goList(t)
	if len(packages) < 10 {
		t.Fatalf("go list gave %d packages of this module; is it run at its root?", len(packages))
	}
	for _, p := range packages {
		for _, fault := range table.check(p) {
			t.Error(fault)
		}
	}
}

// Edges that the map forbids must be found, or the test above proves nothing.
func TestForbiddenEdgesAreFound(t *testing.T) {
	table, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		p    listed
		want string // in the fault; "" for none
	}{
		{"a door may call the flow", importing("internal/httpapi", "internal/mt"), ""},
		{"flow may not import a door", importing("internal/mt", "internal/httpapi"), "internal/mt (flow) imports internal/httpapi (door)"},
		{"flow packages do not import one another", importing("internal/dlr", "internal/throw"), "internal/dlr (flow) imports internal/throw (flow)"},
		{"doors do not import one another", importing("internal/smppserver", "internal/httpapi"), "(door) imports"},
		{"a journal may use the drivers of its mode", importing("internal/journal/embedded", "internal/queue/pebble"), ""},
		{"a journal may not use the drivers of the other mode", importing("internal/journal/embedded", "internal/queue/rabbit"), "(services-driver)"},
		{"drivers do not import each other", importing("internal/queue/pebble", "internal/store/pebble"), "(embedded-driver) imports"},
		{"the protocol knows no message", importing("internal/smpp", "internal/sms"), "(protocol) imports internal/sms (domain)"},
		{"the simulator shares nothing above the protocol", importing("internal/smscsim", "internal/logging"), "(simulator) imports"},
		{"the database knows no message", importing("internal/localdb", "internal/sms"), "(database) imports"},
		{"test services are for tests", importing("internal/gateway", "internal/testenv"), "(testenv)"},
		{"a contract test is for tests", importing("internal/queue/pebble", "internal/queue/queuetest"), "(kit)"},
		{"a folder below a package has its rights", importing("internal/loadgen/deep", "internal/sms"), "internal/loadgen/deep (load) imports"},
		{"a package and the folders below it are one", importing("internal/loadgen", "internal/loadgen/deep"), ""},
		{"a package that is not on the map", importing("internal/util"), "internal/util is not on the map"},
		{"a test may use the test services", listed{ImportPath: module + "/internal/queue/rabbit", XTestImports: []string{module + "/internal/testenv"}}, ""},
		{"a test of the protocol uses no gateway", listed{ImportPath: module + "/internal/smpp", TestImports: []string{module + "/internal/gateway"}}, "in its tests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(table.check(tt.p), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}

// A name on the map that no folder has would only mislead, and give rights to whatever comes by that name.
func TestEveryNameOnTheMapIsAFolder(t *testing.T) {
	table, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range table.owner {
		if !isPackage(name) {
			t.Errorf("the table names %s: there is no such package", name)
		}
	}
}

// The map of docs/ARCHITECTURE.md names the same packages as the table.
func TestTheArchitecturePageHasTheSameMap(t *testing.T) {
	table, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Packages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	named := make(map[string]bool)
	for line := range strings.Lines(section) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !ok {
			continue // text around the map
		}
		// Names stand in front of what they are, at a column of their own; two spaces or more follow the last one.
		if !strings.HasPrefix(line, "cmd/") {
			if line = line[min(len(line), mapColumn):]; line == "" || line[0] == ' ' {
				continue
			}
		}
		for i, name := range strings.Fields(line) {
			if i > 0 && table.owner[name] == nil && !folder.MatchString(name) {
				break
			}
			named[name] = true
			if !isPackage(name) {
				t.Errorf("docs/ARCHITECTURE.md names %s: there is no such package", name)
			}
		}
	}
	for name, l := range table.owner {
		if l.name != "anything" && !named[name] {
			t.Errorf("docs/ARCHITECTURE.md does not name %s (%s)", name, l.name)
		}
	}
}

// folder is a name that can only be a folder's, wherever it stands.
var folder = regexp.MustCompile(`^[a-z-]+(/[a-z-]+)+$`)

// mapColumn is where the names begin in the lines of the map, behind the ring and its name.
const mapColumn = 14

// isPackage tells whether a name of the map is a folder with Go files, in itself or below.
func isPackage(name string) bool {
	found := false
	for _, root := range []string{".", ".."} {
		filepath.WalkDir(filepath.Join(root, name), func(path string, _ fs.DirEntry, err error) error { //nolint:errcheck // what cannot be read is not there
			found = found || err == nil && strings.HasSuffix(path, ".go")
			return err
		})
	}
	return found
}

func importing(path string, imports ...string) listed {
	p := listed{ImportPath: module + "/" + path}
	for _, i := range imports {
		p.Imports = append(p.Imports, module+"/"+i)
	}
	return p
}

type architecture struct {
	owner map[string]*layer // by package, as layer.packages has it
}

func readTable() (*architecture, error) {
	a := &architecture{owner: make(map[string]*layer)}
	var names []string
	for i := range layers {
		names = append(names, layers[i].name)
		for _, p := range strings.Fields(layers[i].packages) {
			if a.owner[p] != nil {
				return nil, fmt.Errorf("%s is in the layers %s and %s", p, a.owner[p].name, layers[i].name)
			}
			a.owner[p] = &layers[i]
		}
	}
	for _, l := range layers {
		for _, name := range strings.Fields(l.may + " " + l.testsMay + " " + always) {
			if name != "*" && !slices.Contains(names, name) {
				return nil, fmt.Errorf("layer %s names %s, which is no layer", l.name, name)
			}
		}
	}
	return a, nil
}

// find gives the layer of an import path of this module and the entry that put it there.
func (a *architecture) find(path string) (*layer, string) {
	p := strings.TrimPrefix(strings.TrimPrefix(path, module+"/"), "internal/")
	for ; p != "."; p = filepath.Dir(p) {
		if l := a.owner[p]; l != nil {
			return l, p
		}
	}
	return nil, ""
}

func (a *architecture) check(p listed) []string {
	short := strings.TrimPrefix(p.ImportPath, module+"/")
	from, entry := a.find(p.ImportPath)
	if from == nil {
		return []string{short + " is not on the map: give it a place in the table of internal/arch_test.go and in docs/ARCHITECTURE.md"}
	}
	var faults []string
	judge := func(imports []string, may, where string) {
		for _, path := range imports {
			if !strings.HasPrefix(path, module+"/") {
				continue
			}
			to, toEntry := a.find(path)
			if to == nil || toEntry == entry || slices.Contains(strings.Fields(may), to.name) || may == "*" {
				continue // a package that is not on the map has a fault of its own
			}
			faults = append(faults, fmt.Sprintf("%s (%s) imports %s (%s)%s: %s may import only: %s",
				short, from.name, strings.TrimPrefix(path, module+"/"), to.name, where, from.name, may))
		}
	}
	judge(p.Imports, from.may, "")
	testsMay := from.may + " " + from.testsMay + " " + always
	if from.testsMay == "*" {
		testsMay = "*"
	}
	judge(slices.Concat(p.TestImports, p.XTestImports), testsMay, " in its tests")
	return faults
}

// goList gives the packages of this module.
func goList(t *testing.T) []listed {
	t.Helper()
	const root = ".."
	// What go list reads is not seen by go test's cache, so look at it here too.
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "jasmin-data") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Error", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if p.Error != nil {
			t.Errorf("go list: %s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
}
