package provision

import (
	"fmt"
	"testing"

	"jasmind/internal/account"
)

// What can be set on the console can be declared, under the same names.
func TestEveryCredentialCanBeDeclared(t *testing.T) {
	values := map[string]string{ // none of them a default
		"http_throughput": "2.5", "balance": "44.2", "smpps_throughput": "7", "sms_count": "100", "early_percent": "25", "max_bindings": "3",
		"src_addr": "JASMIN", "dst_addr": `^33\d+`, "content": "^hello", "priority": "^[01]$", "validity_period": "^60$", "ip": "10.0.0.0/8",
	}
	for i := range account.CredentialKeys {
		k := &account.CredentialKeys[i]
		t.Run(k.String(), func(t *testing.T) {
			value, ok := values[k.Name]
			if !ok || k.Section == account.SectionAuthorization && k.Name != "ip" {
				value = "no"
				if k.Name == "http_bulk" {
					value = "yes"
				}
			}
			doc, err := Parse("x.yaml", fmt.Appendf(nil, "groups: [{gid: g}]\nusers:\n  - {uid: u, username: u, password: p, gid: g, %s: {%s: {%s: '%s'}}}\n", k.Cred, k.Section, k.Name, value))
			if err != nil {
				t.Fatal(err)
			}
			want := account.DefaultCredentials()
			if err := k.Parse(value, &want); err != nil {
				t.Fatal(err)
			}
			got, none := doc.users["u"].Credentials, account.DefaultCredentials()
			if !got.Equal(&want) || got.Equal(&none) {
				t.Errorf("got %s", k.Format(&got))
			}
			s := NewStore()
			if err := s.ApplyDocument(doc); err != nil {
				t.Fatal(err)
			}
			if got := s.Snapshot().User("u").Credentials; !got.Equal(&want) {
				t.Errorf("published %s", k.Format(&got))
			}
		})
	}
}
