package steps

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cucumber/godog"
	"go.yaml.in/yaml/v3"
)

// plan is what the provisioning file is to declare.
type plan struct {
	*scenario
	users        []user
	disabled     bool // their group
	connectors   []*connector
	defaultRoute string // cid
	rate         string // of the default route; "": not rated
	noRoute      bool
	routes       []route
	more         map[string][]any // further entries, by section
	choosing     []map[string]any // routes with several connectors
	fault        string           // text that is put behind
	script       string           // of the MT interceptor, as operators write it, "": none
}

type user struct {
	name, password string
	credentials    map[string]map[string]string // mt_messaging_cred: by section and key
	esme           map[string]map[string]string // smpps_cred
	disabled       bool
}

type connector struct {
	cid    string
	keys   []string
	values map[string]string
	smsc   *smsc // nil: not one of ours
}

// route sends one destination to one connector.
type route struct{ pattern, cid string }

func (c *connector) set(key, value string) {
	if c.values == nil {
		c.values = make(map[string]string)
	}
	if _, ok := c.values[key]; !ok {
		c.keys = append(c.keys, key)
	}
	c.values[key] = value
}

func (c *connector) get(key, otherwise string) string {
	if v, ok := c.values[key]; ok {
		return v
	}
	return otherwise
}

func (p *plan) user(name, password string) {
	for i := range p.users {
		if p.users[i].name == name {
			p.users[i].password = password
			return
		}
	}
	p.users = append(p.users, user{name: name, password: password})
}

// add declares one more entry in a section of the file.
func (p *plan) add(section string, entry any) {
	if p.more == nil {
		p.more = make(map[string][]any)
	}
	p.more[section] = append(p.more[section], entry)
}

func (p *plan) connector(cid string) *connector {
	for _, c := range p.connectors {
		if c.cid == cid {
			return c
		}
	}
	return nil
}

func (p *plan) steps(sc *godog.ScenarioContext, pages *pages) {
	sc.Step(`^the provisioning file also declares:$`, func(text *godog.DocString) error { return p.declare(pages.filledIn(text.Content)) })
	sc.Step(`^MO go to "(.+)"$`, func(connector string) {
		if strings.HasPrefix(connector, "http(") {
			cid := strings.TrimSuffix(strings.TrimPrefix(connector, "http("), ")")
			p.add("http_connectors", map[string]any{"cid": cid, "url": pages.url("/" + cid), "method": "GET"})
		}
		p.add("mo_routes", map[string]any{"type": "DefaultRoute", "connector": connector})
	})
	sc.Step(`^the user "(\w+)" with password "(\w+)"$`, func(name, password string) { p.user(name, password) })
	sc.Step(`^no user "(\w+)"$`, func(name string) {
		for i := range p.users {
			if p.users[i].name == name {
				p.users = append(p.users[:i:i], p.users[i+1:]...)
				return
			}
		}
	})
	sc.Step(`^no route$`, func() { p.noRoute, p.defaultRoute = true, "" })
	sc.Step(`^everything is routed to "([\w-]+)"$`, func(cid string) { p.defaultRoute = cid })
	sc.Step(`^numbers that begin with "(\d+)" are routed to "([\w-]+)"$`, func(prefix, cid string) {
		p.routes = append(p.routes, route{prefix, cid})
	})
	sc.Step(`^messages are intercepted by the script:$`, func(script *godog.DocString) error {
		path := filepath.Join(p.dir, "mt.py")
		p.script = "python3(" + path + ")"
		return os.WriteFile(path, []byte(script.Content+"\n"), 0o600)
	})
	sc.Step(`^messages are intercepted by the rule:$`, func(rule *godog.DocString) { p.script = "expr(" + rule.Content + ")" })
	sc.Step(`^messages go to "([\w-]+)" and, on (ESME_\w+), to "([\w-]+)"$`, func(first, status, second string) {
		p.choosing = append(p.choosing, map[string]any{"type": "FailoverMTRoute", "order": 5, "filters": "all",
			"connectors": "smppc(" + first + ");smppc(" + second + ")", "failover_on": status})
	})
	sc.Step(`^messages go to the cheapest of "([\w-]+)" at ([\d.]+) and "([\w-]+)" at ([\d.]+)$`, func(first, rate, second, rate2 string) {
		p.choosing = append(p.choosing, map[string]any{"type": "LeastCostMTRoute", "order": 5, "filters": "all",
			"connectors": "smppc(" + first + ");smppc(" + second + ")", "rates": rate + ";" + rate2})
	})
	sc.Step(`^a faulty line "(.*)"$`, func(line string) { p.fault = line })
	sc.Step(`^the fault is corrected$`, func() { p.fault = "" })
}

// provisionSteps are about loading the file.
func (g *underTest) provisionSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the provisioning file is loaded again$`, func() error {
		if err := g.plan.write(); err != nil {
			return err
		}
		return g.run.reload()
	})
	sc.Step(`^loading the provisioning file again fails, naming the line of "(.*)"$`, func(line string) error {
		if err := g.plan.write(); err != nil {
			return err
		}
		err := g.run.reload()
		if want := fmt.Sprintf("%s:%d: ", g.plan.path(), g.plan.lineOf(line)); err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("got %w, want %q in it", err, want)
		}
		return nil
	})
	sc.Step(`^loading the provisioning file again fails, saying "(.*)"$`, func(want string) error {
		if err := g.plan.write(); err != nil {
			return err
		}
		if err := g.run.reload(); err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("got %w, want %q in it", err, want)
		}
		return nil
	})
	sc.Step(`^it complains of the line "(.*)" of the provisioning file$`, func(line string) error {
		want := fmt.Sprintf("%s:%d: ", g.plan.path(), g.plan.lineOf(line))
		p, err := g.process()
		if err != nil {
			return err
		}
		return until(fmt.Sprintf("%q on standard error", want), func() bool { return strings.Contains(p.stderr.String(), want) })
	})
}

// declare adds to the file what is written.
func (p *plan) declare(text string) error {
	var extra map[string][]any
	if err := yaml.Unmarshal([]byte(text), &extra); err != nil {
		return err
	}
	for section, list := range extra {
		for _, e := range list {
			p.add(section, e)
		}
	}
	return nil
}

// path is where the file is.
func (p *plan) path() string { return filepath.Join(p.dir, "provision.yaml") }

// lineOf is the number of a line of the provisioning file, 0 if it is not there.
func (p *plan) lineOf(line string) int {
	text, err := os.ReadFile(p.path())
	if err != nil {
		return 0
	}
	for i, l := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(l) == line {
			return i + 1
		}
	}
	return 0
}

// write writes the file, in one step, since a gateway may be about to read it.
func (p *plan) write() error {
	path := p.path()
	type entry = map[string]any
	var users, connectors, routes, filters []entry
	for _, u := range p.users {
		e := entry{"uid": u.name, "username": u.name, "password": u.password, "gid": "everybody"}
		if u.credentials != nil {
			e["mt_messaging_cred"] = u.credentials
		}
		if u.esme != nil {
			e["smpps_cred"] = u.esme
		}
		if u.disabled {
			e["enabled"] = "no"
		}
		users = append(users, e)
	}
	for _, c := range p.connectors {
		e := entry{"cid": c.cid}
		for _, k := range c.keys {
			e[k] = c.values[k]
		}
		connectors = append(connectors, e)
	}
	if p.defaultRoute != "" {
		e := entry{"type": "DefaultRoute", "connector": "smppc(" + p.defaultRoute + ")"}
		if p.rate != "" {
			e["rate"] = p.rate
		}
		routes = append(routes, e)
	}
	for i, r := range p.routes {
		fid := fmt.Sprintf("to-%s", r.pattern)
		filters = append(filters, entry{"fid": fid, "type": "DestinationAddrFilter", "destination_addr": "^" + r.pattern})
		routes = append(routes, entry{"type": "StaticMTRoute", "order": 10 + i, "filters": []string{fid}, "connector": "smppc(" + r.cid + ")"})
	}
	if len(p.choosing) > 0 {
		filters = append(filters, entry{"fid": "all", "type": "TransparentFilter"})
		routes = append(routes, p.choosing...)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	group := entry{"gid": "everybody"}
	if p.disabled {
		group["enabled"] = "no"
	}
	doc := entry{"groups": []entry{group}, "users": users, "smpp_connectors": connectors}
	if len(routes) > 0 {
		doc["mt_routes"] = routes
	}
	if p.script != "" {
		doc["mt_interceptors"] = []entry{{"type": "DefaultInterceptor", "script": p.script}}
	}
	if len(filters) > 0 {
		doc["filters"] = filters
	}
	for section, list := range p.more {
		have, _ := doc[section].([]entry)
		all := make([]any, 0, len(have)+len(list))
		for _, e := range have {
			all = append(all, e)
		}
		doc[section] = append(all, list...)
	}
	if err := e.Encode(doc); err != nil {
		return err
	}
	if p.fault != "" {
		b.WriteString(p.fault + "\n")
	}
	if err := os.WriteFile(path+".new", b.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
