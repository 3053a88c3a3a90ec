package journal

import (
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
)

func TestEveryFieldHasItsPlace(t *testing.T) {
	placed := make(map[string]bool)
	last := Admit
	for _, x := range Effects {
		placed[x.Field] = true
		if x.Phase < last {
			t.Errorf("%s stands behind a later phase", x.Field)
		}
		last = x.Phase
	}
	for f := range reflect.TypeFor[Entry]().Fields() {
		if !placed[f.Name] {
			t.Errorf("field %s of Entry is in no phase", f.Name)
		}
		delete(placed, f.Name)
	}
	for name := range placed {
		t.Errorf("%s is no field of Entry", name)
	}
}

// The package comment names the fields of each phase, one line for each.
func TestTheDocumentedOrderIsTheOrder(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "journal.go", nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(f.Doc.Text()) {
		if _, fields, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasPrefix(line, "  ") {
			got = append(got, fields)
		}
	}
	var want []string
	for phase := Admit; phase <= Acknowledge; phase++ {
		var fields []string
		for _, x := range Effects {
			if x.Phase == phase {
				fields = append(fields, x.Field)
			}
		}
		want = append(want, strings.Join(fields, ", "))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
