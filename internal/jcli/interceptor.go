package jcli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/provision"
	"jasmind/internal/routing"
)

// interceptorCommand is mointerceptor or mtinterceptor.
func interceptorCommand(d routing.Direction) command {
	dir := d.String()
	return command{
		name: strings.ToLower(dir) + "interceptor", doc: dir + " Interceptor management",
		options: []option{
			{"-l", "--list", "", "List " + dir + " interceptors"},
			{"-a", "--add", "", "Add a new " + dir + " interceptor"},
			{"-r", "--remove", "ORDER", "Remove " + dir + " interceptor using it's ORDER"},
			{"-s", "--show", "ORDER", "Show " + dir + " interceptor using it's ORDER"},
			{"-f", "--flush", "", "Flush " + dir + " interception table"},
		},
		actions: []action{
			{"list", func(s *session, _, _ string) { s.listInterceptors(d) }},
			{"add", func(s *session, _, _ string) { s.addInterceptor(d) }},
			{"remove", func(s *session, order, _ string) { s.removeInterceptor(d, order) }},
			{"show", func(s *session, order, _ string) { s.showInterceptor(d, order) }},
			{"flush", func(s *session, _, _ string) { s.flushInterceptors(d) }},
		},
	}
}

// describeScript is a script as lists show it: its first 30 characters.
func describeScript(d routing.Direction, script routing.Script) string {
	name := "pyCode"
	if script.IsRule() {
		name = string(script.Kind())
	}
	return "<" + d.String() + "IS (" + name + "=" + beginning(script.Code, 30) + " ..)>"
}

func (s *session) listInterceptors(d routing.Direction) {
	widths := []int{8, 23, 25, 64}
	all := s.snapshot().Interceptors(d)
	if len(all) > 0 {
		s.print(row(widths, "Order", "Type", "Script", "Filter(s)"))
	}
	for _, i := range all {
		s.print(row(widths, strconv.Itoa(i.Order), i.Type.String(), describeScript(d, i.Script), s.abbreviateAll(i.Filters)))
	}
	s.print("Total " + d.String() + " Interceptors: " + strconv.Itoa(len(all)))
}

func (s *session) knownInterceptor(d routing.Direction, text string) (i provision.Interceptor, ok bool) {
	order, err := parseOrder(text)
	if err != nil {
		s.print(d.String() + " Interceptor order must be a positive integer")
		return i, false
	}
	for _, i := range s.snapshot().Interceptors(d) {
		if i.Order == order {
			return i, true
		}
	}
	s.print("Unknown " + d.String() + " Interceptor: " + text)
	return i, false
}

func (s *session) showInterceptor(d routing.Direction, order string) {
	if i, ok := s.knownInterceptor(d, order); ok {
		s.print(i.Type.String() + "/" + describeScript(d, i.Script))
	}
}

func (s *session) removeInterceptor(d routing.Direction, order string) {
	i, ok := s.knownInterceptor(d, order)
	if ok && s.apply("Failed removing "+d.String()+" Interceptor", func(draft *provision.Draft) error { return draft.RemoveInterceptor(d, i.Order) }) {
		s.print("Successfully removed " + d.String() + " Interceptor with order:" + order)
	}
}

func (s *session) flushInterceptors(d routing.Direction) {
	n := 0
	if s.apply("Failed flushing "+d.String()+" Interceptor table", func(draft *provision.Draft) error { n = draft.FlushInterceptors(d); return nil }) {
		s.print(fmt.Sprintf("Successfully flushed %s Interceptor table (%d flushed entries)", d, n))
	}
}

// interceptorForm is what was typed of an interceptor.
type interceptorForm struct {
	s           *session
	d           routing.Direction
	active      *interaction
	interceptor provision.Interceptor
	values      map[string]string
}

func (s *session) addInterceptor(d routing.Direction) {
	f := &interceptorForm{s: s, d: d, values: map[string]string{}}
	f.active = &interaction{keys: []string{"order", "type"}, set: f.set, save: f.save}
	s.begin("Adding a new "+d.String()+" Interceptor: (ok: save, ko: exit)", f.active)
}

func (f *interceptorForm) set(key, value string) {
	if !slices.Contains(f.active.keys, key) {
		f.s.print("Unknown Interceptor key: " + key)
		return
	}
	if key == "type" {
		f.setType(value)
		return
	}
	problem := ""
	isDefault := f.interceptor.Type == routing.DefaultInterceptor
	switch key {
	case "order":
		f.interceptor.Order, problem = checkOrder(value, f.values["type"] != "", isDefault, "interceptor", "DefaultInterceptor")
		if problem != "" && !isDefault {
			delete(f.values, "order")
		}
	case "filters":
		fids := strings.Split(value, ";")
		if problem = f.s.checkFilters(fids, f.d, "Interceptor"); problem == "" {
			f.interceptor.Filters = fids
		}
	case "script":
		script, err := routing.ParseScript(value)
		var rule *routing.RuleError
		switch {
		case errors.As(err, &rule):
			problem = "[Syntax]: " + rule.Text
		case errors.Is(err, routing.ErrScript):
			problem = "Invalid syntax for script, must be python3(/path/to/script) or expr(rule)."
		case err != nil:
			problem = "[Unknown]: " + oneLine(err)
		case !script.IsRule():
			var ok bool
			if script, ok = f.s.readScript(script.Path); !ok {
				return
			}
		}
		if problem == "" {
			f.interceptor.Script = script
		}
	}
	if problem != "" {
		f.s.print(problem)
		return
	}
	f.values[key] = value
}

func (f *interceptorForm) setType(name string) {
	typ, err := routing.ParseInterceptorType(f.d, name)
	if err != nil {
		var names []string
		for _, t := range routing.InterceptorTypes(f.d) {
			names = append(names, t.String())
		}
		f.s.print("Unknown " + f.d.String() + " Interceptor type:" + name + ", available types: " + strings.Join(names, ", "))
		return
	}
	order, hasOrder := f.values["order"]
	f.interceptor = provision.Interceptor{Type: typ, Order: f.interceptor.Order}
	f.values = map[string]string{"type": typ.String()}
	arguments := []string{"filters", "script"}
	switch {
	case typ == routing.DefaultInterceptor:
		f.interceptor.Order, f.values["order"] = 0, "0"
		arguments = arguments[1:]
	case hasOrder && f.interceptor.Order != 0:
		f.values["order"] = order
	}
	f.s.print("<class 'jasmin.routing.Interceptors."+typ.String()+"'> arguments:", strings.Join(arguments, ", "))
	f.active.keys = append([]string{"order", "type"}, arguments...)
}

func (f *interceptorForm) save() {
	if !complete(f.values, f.active.keys) || f.values["type"] == "" {
		f.s.print(mustSet(f.active.keys))
		return
	}
	i := f.interceptor
	if f.s.apply("Failed adding "+f.d.String()+"Interceptor", func(d *provision.Draft) error { return d.PutInterceptor(f.d, i) }) {
		f.s.print(fmt.Sprintf("Successfully added %sInterceptor [%s] with order:%d", f.d, i.Type, i.Order))
		f.s.end()
	}
}
