package jcli

import (
	"strconv"
	"strings"

	"jasmind/internal/provision"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

var httpccmCommand = command{
	name: "httpccm", doc: "HTTP client connector management",
	options: []option{
		{"-l", "--list", "", "List HTTP client connectors"},
		{"-a", "--add", "", "Add a new HTTP client connector"},
		{"-r", "--remove", "CID", "Remove HTTP client connector using it's CID"},
		{"-s", "--show", "CID", "Show HTTP client connector using it's CID"},
	},
	actions: []action{
		{"list", func(s *session, _, _ string) { s.listHTTPConnectors() }},
		{"add", func(s *session, _, _ string) { s.addHTTPConnector() }},
		{"remove", func(s *session, cid, _ string) { s.removeHTTPConnector(cid) }},
		{"show", func(s *session, cid, _ string) { s.showHTTPConnector(cid) }},
	},
}

var httpConnectorKeys = []string{"cid", "url", "method"}

func (s *session) listHTTPConnectors() {
	widths := []int{16, 22, 6, 64}
	all := added(s.snapshot(), provision.KindHTTPConnector, s.snapshot().HTTPConnectors(), func(c *provision.HTTPConnector) string { return string(c.CID) })
	if len(all) > 0 {
		s.print(row(widths, "Httpcc id", "Type", "Method", "URL"))
	}
	for _, c := range all {
		s.print(row(widths, string(c.CID), "HttpConnector", c.Method, c.URL))
	}
	s.print("Total Httpccs: " + strconv.Itoa(len(all)))
}

func (s *session) addHTTPConnector() {
	values := map[string]string{}
	s.begin("Adding a new Httpcc: (ok: save, ko: exit)", &interaction{
		keys: httpConnectorKeys,
		set: func(key, value string) {
			switch key {
			case "cid", "url", "method":
				values[key] = value
			default:
				s.print("Unknown Httpcc key: " + key)
			}
		},
		save: func() { s.saveHTTPConnector(values) },
	})
}

func (s *session) saveHTTPConnector(values map[string]string) {
	if !complete(values, httpConnectorKeys) {
		s.print(mustSet(httpConnectorKeys))
		return
	}
	c := provision.HTTPConnector{CID: sms.ConnectorID(values["cid"]), URL: values["url"], Method: strings.ToUpper(values["method"])}
	switch {
	case !smppc.ValidCID(values["cid"]):
		s.print("Error: HttpConnector cid syntax is invalid")
	case c.Method != "GET" && c.Method != "POST":
		s.print("Error: HttpConnector method syntax is invalid, must be GET or POST")
	case c.Validate() != nil:
		s.print("Error: HttpConnector url syntax is invalid")
	case s.apply("Failed adding Httpcc", func(d *provision.Draft) error { return d.PutHTTPConnector(c) }):
		s.print("Successfully added Httpcc [HttpConnector] with cid:" + values["cid"])
		s.end()
	}
}

func (s *session) knownHTTPConnector(cid string) *provision.HTTPConnector {
	c := s.snapshot().HTTPConnector(sms.ConnectorID(cid))
	if c == nil {
		s.print("Unknown Httpcc: " + cid)
	}
	return c
}

func (s *session) removeHTTPConnector(cid string) {
	if s.knownHTTPConnector(cid) != nil && s.apply("Failed removing Httpcc", func(d *provision.Draft) error { return d.RemoveHTTPConnector(sms.ConnectorID(cid)) }) {
		s.print("Successfully removed Httpcc id:" + cid)
	}
}

func (s *session) showHTTPConnector(cid string) {
	if c := s.knownHTTPConnector(cid); c != nil {
		s.print("HttpConnector:", "cid = "+string(c.CID), "baseurl = "+c.URL, "method = "+c.Method)
	}
}
