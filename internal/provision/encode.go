package provision

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"jasmind/internal/account"
	"jasmind/internal/routing"
	"jasmind/internal/smppc"
)

// Encode writes what no provisioning file declares, in the form that ParseSaved reads:
// parameters that have their default are left out, passwords are hashes, and scripts stand
// there with their code.
func (s *Snapshot) Encode() ([]byte, error) {
	return s.encode(func(k Key) bool { _, declared := s.declared[k]; return declared })
}

// Encode writes the whole document as Snapshot.Encode does. Call HashPasswords first if
// it may hold passwords in the clear.
func (doc *Document) Encode() ([]byte, error) {
	s := doc.clone()
	for i, k := range doc.keys() {
		s.added[k] = uint64(i) + 1 //nolint:gosec // not negative
	}
	return s.encode(func(Key) bool { return false })
}

// HashPasswords replaces passwords in the clear by argon2id hashes. Each takes tens of
// milliseconds.
func (doc *Document) HashPasswords() error {
	for uid, text := range doc.passwords {
		if account.LooksHashed(text) {
			doc.passwords[uid], _ = doc.users[uid].Password.Hash()
			continue
		}
		p, err := account.HashPassword(text)
		if err != nil {
			return fmt.Errorf("%s: %w", Key{KindUser, string(uid)}, err)
		}
		u := *doc.users[uid]
		u.Password = p
		doc.users[uid] = &u
		doc.passwords[uid], _ = p.Hash()
	}
	return nil
}

func (s *state) encode(skip func(Key) bool) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	var failed error
	add := func(section string, kind Kind, entries map[string]func() (*yaml.Node, error)) {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		ids := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
			return cmp.Or(cmp.Compare(s.added[Key{kind, a}], s.added[Key{kind, b}]), cmp.Compare(a, b))
		})
		for _, id := range ids {
			if skip(Key{kind, id}) {
				continue
			}
			node, err := entries[id]()
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", Key{kind, id}, err)
			}
			list.Content = append(list.Content, node)
		}
		if len(list.Content) > 0 {
			root.Content = append(root.Content, word(section), list)
		}
	}
	add("groups", KindGroup, entriesOf(s.groups, func(g *account.Group) (*yaml.Node, error) {
		return mapping("gid", string(g.GID)).yes("enabled", g.Enabled).node, nil
	}))
	add("users", KindUser, entriesOf(s.users, encodeUser))
	add("filters", KindFilter, entriesOf(s.filters, func(f *routing.Filter) (*yaml.Node, error) {
		m := mapping("fid", f.FID()).set("type", f.Type().String())
		if p := f.Type().Parameter(); p != "" {
			m.set(p, f.Value())
		}
		if script := f.Script(); script != nil && !script.IsRule() {
			m.set("code", script.Code)
		}
		return m.node, nil
	}))
	add("smpp_connectors", KindSMPPConnector, entriesOf(s.smppcs, encodeSMPPConnector))
	add("http_connectors", KindHTTPConnector, entriesOf(s.httpcs, func(c *HTTPConnector) (*yaml.Node, error) {
		return mapping("cid", string(c.CID)).set("url", c.URL).set("method", c.Method).node, nil
	}))
	add("mt_routes", KindMTRoute, entriesOf(s.mt, encodeRoute))
	add("mo_routes", KindMORoute, entriesOf(s.mo, encodeRoute))
	add("mt_interceptors", KindMTInterceptor, entriesOf(s.mti, encodeInterceptor))
	add("mo_interceptors", KindMOInterceptor, entriesOf(s.moi, encodeInterceptor))
	if failed != nil {
		return nil, failed
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// entriesOf gives the encoders of the things of one kind by their id.
func entriesOf[K ~string | ~int, V any](things map[K]*V, encode func(*V) (*yaml.Node, error)) map[string]func() (*yaml.Node, error) {
	out := make(map[string]func() (*yaml.Node, error), len(things))
	for id, v := range things {
		out[fmt.Sprint(id)] = func() (*yaml.Node, error) { return encode(v) }
	}
	return out
}

func encodeUser(u *account.User) (*yaml.Node, error) {
	hash, ok := u.Password.Hash()
	if !ok {
		return nil, fmt.Errorf("password: there is no hash of it")
	}
	m := mapping("uid", string(u.UID)).set("username", u.Username).set("password", hash).set("gid", string(u.GID)).yes("enabled", u.Enabled)
	standard := account.DefaultCredentials()
	sets := map[string]*fields{}
	for _, name := range []string{account.MTMessagingCred, account.SMPPSCred} {
		sets[name] = &fields{node: &yaml.Node{Kind: yaml.MappingNode}}
	}
	sections := map[string]*fields{}
	for i := range account.CredentialKeys {
		k := &account.CredentialKeys[i]
		if k.Format(&u.Credentials) == k.Format(&standard) {
			continue
		}
		section := sections[k.Cred+" "+k.Section]
		if section == nil {
			section = &fields{node: &yaml.Node{Kind: yaml.MappingNode}}
			sections[k.Cred+" "+k.Section] = section
			sets[k.Cred].put(k.Section, section.node)
		}
		section.set(k.Name, k.Format(&u.Credentials))
	}
	for _, name := range []string{account.MTMessagingCred, account.SMPPSCred} {
		if len(sets[name].node.Content) > 0 {
			m.put(name, sets[name].node)
		}
	}
	return m.node, nil
}

func encodeSMPPConnector(c *SMPPConnector) (*yaml.Node, error) {
	m := mapping("cid", string(c.CID)).yes("started", c.Started)
	standard := smppc.Default(c.CID)
	for i := range smppc.Keys {
		k := &smppc.Keys[i]
		if v := k.Format(c.Config); k.Name != "cid" && v != k.Format(standard) {
			m.set(k.Name, v)
		}
	}
	return m.node, nil
}

func encodeRoute(r *Route) (*yaml.Node, error) {
	m := mapping("order", strconv.Itoa(r.Order)).set("type", r.Type.String())
	if len(r.Filters) > 0 {
		m.list("filters", r.Filters)
	}
	if r.Type.Several() {
		names := make([]string, len(r.Connectors))
		for i, c := range r.Connectors {
			names[i] = c.String()
		}
		m.list("connectors", names)
	} else {
		m.set("connector", r.Connectors[0].String())
	}
	if r.Rate != 0 {
		m.set("rate", r.Rate.String())
	}
	if len(r.Weights) > 0 {
		m.list("weights", routing.FormatWeights(r.Weights))
	}
	if len(r.Rates) > 0 {
		m.list("rates", routing.FormatRates(r.Rates))
	}
	if len(r.FailoverOn) > 0 {
		m.list("failover_on", routing.FormatStatuses(r.FailoverOn))
	}
	return m.node, nil
}

func encodeInterceptor(i *Interceptor) (*yaml.Node, error) {
	m := mapping("order", strconv.Itoa(i.Order)).set("type", i.Type.String())
	if len(i.Filters) > 0 {
		m.list("filters", i.Filters)
	}
	m.set("script", i.Script.String())
	if !i.Script.IsRule() {
		m.set("code", i.Script.Code)
	}
	return m.node, nil
}

// fields is a YAML mapping that is being built.
type fields struct{ node *yaml.Node }

func mapping(key, value string) *fields {
	return (&fields{&yaml.Node{Kind: yaml.MappingNode}}).set(key, value)
}

func (f *fields) put(key string, node *yaml.Node) *fields {
	f.node.Content = append(f.node.Content, word(key), node)
	return f
}

func (f *fields) set(key, value string) *fields { return f.put(key, scalarNode(value)) }

// yes writes a switch whose default is yes only if it is no.
func (f *fields) yes(key string, value bool) *fields {
	if value {
		return f
	}
	return f.put(key, word("no"))
}

func (f *fields) list(key string, values []string) *fields {
	node := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, v := range values {
		node.Content = append(node.Content, scalarNode(v))
	}
	return f.put(key, node)
}

func word(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

// scalarNode writes a value so that it is read back to the octet: plain if it is a simple
// word, as a block if it has several plain lines, quoted otherwise.
func scalarNode(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: value, Style: yaml.DoubleQuotedStyle}
	simple := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '/' || r == '-'
	}
	switch {
	case value != "" && !strings.ContainsFunc(value, func(r rune) bool { return !simple(r) }) && !isReserved(value) && value[0] != '-':
		n.Style = 0
	case strings.Contains(value, "\n") && isBlock(value):
		n.Style = yaml.LiteralStyle
	}
	return n
}

// isReserved tells whether YAML would read a plain word as something else than a value.
func isReserved(value string) bool {
	return strings.EqualFold(value, "null") || value == "---" || value == "..." || value == "~"
}

// isBlock tells whether a text survives YAML's literal style.
func isBlock(value string) bool {
	if strings.HasPrefix(value, " ") || strings.HasPrefix(value, "\n") || strings.ContainsFunc(value, func(r rune) bool {
		return r < ' ' && r != '\n' || r == 0x7F || r == 0x85 || r == 0xFEFF || r == 0x2028 || r == 0x2029 || r == 0xFFFD
	}) {
		return false
	}
	for line := range strings.SplitSeq(value, "\n") {
		if strings.HasSuffix(line, " ") {
			return false
		}
	}
	return true
}
