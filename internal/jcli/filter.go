package jcli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/intercept"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
)

var filterCommand = command{
	name: "filter", doc: "Filter management",
	options: []option{
		{"-l", "--list", "", "List filters"},
		{"-a", "--add", "", "Add filter"},
		{"-r", "--remove", "FID", "Remove filter using it's FID"},
		{"-s", "--show", "FID", "Show filter using it's FID"},
	},
	actions: []action{
		{"list", func(s *session, _, _ string) { s.listFilters() }},
		{"add", func(s *session, _, _ string) { s.addFilter() }},
		{"remove", func(s *session, fid, _ string) { s.removeFilter(fid) }},
		{"show", func(s *session, fid, _ string) { s.showFilter(fid) }},
	},
}

// added sorts things by when they were added.
func added[T any](snap *provision.Snapshot, kind provision.Kind, things []T, id func(T) string) []T {
	slices.SortStableFunc(things, func(a, b T) int {
		return cmp.Compare(snap.Added(provision.Key{Kind: kind, ID: id(a)}), snap.Added(provision.Key{Kind: kind, ID: id(b)}))
	})
	return things
}

func (s *session) listFilters() {
	widths := []int{16, 22, 6, 32}
	filters := added(s.snapshot(), provision.KindFilter, s.snapshot().Filters(), (*routing.Filter).FID)
	if len(filters) > 0 {
		s.print(row(widths, "Filter id", "Type", "Routes", "Description"))
	}
	for _, f := range filters {
		s.print(row(widths, f.FID(), f.Type().String(), f.Type().UsedFor().String(), describeFilter(f)))
	}
	s.print("Total Filters: " + strconv.Itoa(len(filters)))
}

// details is the parameter of a filter in descriptions, such as (src_addr=^20).
func details(f *routing.Filter) string {
	name := map[routing.FilterType]string{
		routing.ConnectorFilter: "cid=", routing.UserFilter: "uid=", routing.GroupFilter: "gid=", routing.SourceAddrFilter: "src_addr=",
		routing.DestinationAddrFilter: "dst_addr=", routing.ShortMessageFilter: "msg=", routing.TagFilter: "tag=",
	}[f.Type()]
	switch f.Type() {
	case routing.TransparentFilter:
		return ""
	case routing.DateIntervalFilter, routing.TimeIntervalFilter:
		return " (" + strings.Replace(f.Value(), ";", ",", 1) + ")"
	case routing.EvalPyFilter:
		name := "pyCode"
		if f.Script().IsRule() {
			name = string(f.Script().Kind())
		}
		return " (" + name + "=" + beginning(f.Script().Code, 10) + " ..)"
	}
	return " (" + name + f.Value() + ")"
}

// beginning is the first characters of a script, in one line.
func beginning(code string, n int) string {
	return strings.NewReplacer("\n", "", "\r", "").Replace(string([]rune(code)[:min(n, len([]rune(code)))]))
}

// describeFilter is a filter as filter -l shows it.
func describeFilter(f *routing.Filter) string {
	name := f.Type().String()
	if f.Type() == routing.TagFilter { // as the documented sample has it
		name = "TG"
	}
	return "<" + name + details(f) + ">"
}

// abbreviate is a filter as the lists of routes and interceptors show it.
func abbreviate(f *routing.Filter) string {
	name := map[routing.FilterType]string{
		routing.TransparentFilter: "T", routing.ConnectorFilter: "C", routing.UserFilter: "U", routing.GroupFilter: "G", routing.SourceAddrFilter: "SA",
		routing.DestinationAddrFilter: "DA", routing.ShortMessageFilter: "SM", routing.DateIntervalFilter: "DI", routing.TimeIntervalFilter: "TI",
		routing.TagFilter: "TG", routing.EvalPyFilter: "Ev",
	}[f.Type()]
	return "<" + name + details(f) + ">"
}

func (s *session) abbreviateAll(fids []string) string {
	snap := s.snapshot()
	var out []string
	for _, fid := range fids {
		if f := snap.Filter(fid); f != nil {
			out = append(out, abbreviate(f))
		}
	}
	return strings.Join(out, ", ")
}

func (s *session) knownFilter(fid string) *routing.Filter {
	f := s.snapshot().Filter(fid)
	if f == nil {
		s.print("Unknown Filter: " + fid)
	}
	return f
}

func (s *session) showFilter(fid string) {
	f := s.knownFilter(fid)
	if f == nil {
		return
	}
	name := f.Type().String() + ":"
	switch f.Type() {
	case routing.TransparentFilter:
		s.print(f.Type().String())
	case routing.DateIntervalFilter, routing.TimeIntervalFilter:
		left, right, _ := strings.Cut(f.Value(), ";")
		s.print(name, "Left border = "+left, "Right border = "+right)
	case routing.EvalPyFilter:
		s.print(name, f.Script().Code)
	case routing.TagFilter:
		s.print(name, "has tag = "+f.Value())
	default:
		s.print(name, f.Type().Parameter()+" = "+f.Value())
	}
}

func (s *session) removeFilter(fid string) {
	if s.knownFilter(fid) != nil && s.apply("Failed removing Filter", func(d *provision.Draft) error { return d.RemoveFilter(fid) }) {
		s.print("Successfully removed Filter id:" + fid)
	}
}

// filterForm is what was typed of a filter.
type filterForm struct {
	s      *session
	active *interaction
	typ    routing.FilterType
	values map[string]string
	script routing.Script
}

func (s *session) addFilter() {
	f := &filterForm{s: s, values: map[string]string{}}
	f.active = &interaction{keys: []string{"type", "fid"}, set: f.set, save: f.save}
	s.begin("Adding a new Filter: (ok: save, ko: exit)", f.active)
}

func (f *filterForm) set(key, value string) {
	parameter := f.typ.Parameter()
	switch {
	case key == "type":
		f.setType(value)
		return
	case key == "fid":
		if !routing.ValidFID(value) {
			f.s.print("Invalid Filter fid syntax: " + value)
			return
		}
	case parameter == "" || key != parameter:
		f.s.print("Unknown Filter key: " + key)
		return
	case key == "pyCode":
		script, ok := f.s.filterScript(value)
		if !ok {
			return
		}
		f.script = script
	default:
		if problem := checkFilterValue(f.typ, value); problem != "" {
			f.s.print(problem)
			return
		}
	}
	f.values[key] = value
}

func (f *filterForm) setType(name string) {
	typ, err := routing.ParseFilterType(name)
	if err != nil {
		var names []string
		for _, t := range routing.FilterTypes() {
			names = append(names, t.String())
		}
		f.s.print(fmt.Sprintf("Unknown Filter type: %q, available types: %s", name, strings.Join(names, ", ")))
		return
	}
	for k := range f.values {
		if k != "fid" {
			delete(f.values, k)
		}
	}
	f.typ, f.values["type"] = typ, typ.String()
	f.active.keys = []string{"type", "fid"}
	if p := typ.Parameter(); p != "" {
		f.active.keys = append(f.active.keys, p)
		f.s.print("jasmin.routing.Filters."+typ.String()+" arguments:", p)
	}
}

func (f *filterForm) save() {
	if !complete(f.values, f.active.keys) {
		f.s.print(mustSet(f.active.keys))
		return
	}
	var filter *routing.Filter
	var err error
	fid := f.values["fid"]
	if f.typ == routing.EvalPyFilter {
		filter, err = routing.NewScriptFilter(fid, f.script)
	} else {
		filter, err = routing.NewFilter(fid, f.typ, f.values[f.typ.Parameter()])
	}
	if err != nil {
		f.s.print("Error: " + oneLine(err))
		return
	}
	if f.s.apply("Failed adding Filter", func(d *provision.Draft) error { return d.PutFilter(filter) }) {
		f.s.print("Successfully added Filter [" + f.typ.String() + "] with fid:" + fid)
		f.s.end()
	}
}

var (
	dateForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	timeForm = regexp.MustCompile(`^\d{2}:\d{2}:\d{2}$`)
)

// checkFilterValue gives what the original says of a value as soon as it is typed; "" if
// nothing is wrong with it.
func checkFilterValue(typ routing.FilterType, value string) (problem string) {
	_, err := routing.NewFilter("f", typ, value)
	if err == nil {
		return ""
	}
	key := typ.Parameter()
	form, layout := dateForm, time.DateOnly
	switch typ {
	case routing.SourceAddrFilter, routing.DestinationAddrFilter, routing.ShortMessageFilter:
		var unsupported *account.UnsupportedError
		if errors.As(err, &unsupported) { // Python would take it
			return key + " option is not a valid regular expression: " + unsupported.Error()
		}
		return key + " option is not a valid regular expression"
	case routing.TimeIntervalFilter:
		form, layout = timeForm, time.TimeOnly
	case routing.DateIntervalFilter:
	default:
		return "Error: " + oneLine(err)
	}
	borders := strings.Split(value, ";")
	if len(borders) != 2 {
		return key + ` option value must be composed of 2 values with a ";" separator.`
	}
	for _, border := range borders {
		if _, err := time.Parse(layout, border); err != nil || !form.MatchString(border) {
			return border + " is not a valid " + key + " value"
		}
	}
	return "Right border must be greater than left border"
}

func complete(values map[string]string, keys []string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { _, ok := values[k]; return !ok })
}

func mustSet(keys []string) string {
	return "You must set these options before saving: " + strings.Join(keys, ", ")
}

// filterScript is the script of an EvalPyFilter: expr(rule), or what readScript reads.
func (s *session) filterScript(value string) (script routing.Script, ok bool) {
	script, err := routing.ParseScript(value)
	var rule *routing.RuleError
	switch {
	case errors.As(err, &rule):
		s.print("[Syntax]: " + rule.Text)
		return script, false
	case err == nil && script.IsRule():
		return script, true
	}
	return s.readScript(value)
}

// readScript copies a script and compiles it; what is wrong with it is printed in the
// original's form.
func (s *session) readScript(path string) (script routing.Script, ok bool) {
	script, err := provision.ReadScript(s.srv.ctx, path)
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.print("[IO]: [Errno 2] No such file or directory: '" + path + "'")
	case errors.Is(err, fs.ErrPermission):
		s.print("[IO]: [Errno 13] Permission denied: '" + path + "'")
	case errors.As(err, &pathErr):
		s.print("[IO]: " + err.Error())
	case err != nil && strings.Contains(path, "://"):
		s.print("[URL]: " + oneLine(err))
	case err != nil:
		s.print("[Unknown]: " + oneLine(err))
	default:
		return script, s.compiles(script.Code)
	}
	return script, false
}

func (s *session) compiles(code string) bool {
	if s.srv.deps.Scripts == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(s.srv.ctx, 15*time.Second)
	defer cancel()
	script, err := intercept.NewScript(intercept.Python, "/<string>", code)
	if err == nil {
		err = s.srv.deps.Scripts.Check(ctx, script)
	}
	var fault *intercept.ScriptError
	switch {
	case errors.As(err, &fault):
		s.print("[Syntax]: " + strings.Join(strings.Fields(fault.Text), " "))
	case err != nil:
		s.print("[Unknown]: " + oneLine(err))
	}
	return err == nil
}
