package smscsim

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestManual tries what docs/smsc-sim.md shows.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/smsc-sim.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	behaviours := regexp.MustCompile(`(?m)^    (\{"(?:rules|receipt)".*)$`).FindAllStringSubmatch(manual, -1)
	for _, m := range behaviours {
		if _, err := ParseBehaviour([]byte(m[1])); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	mos := regexp.MustCompile(`/mo -d '(.*)'`).FindAllStringSubmatch(manual+usage, -1)
	for _, m := range mos {
		var mo MO
		if err := strictJSON([]byte(m[1]), &mo); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
		mo.Text = strings.Repeat(mo.Text, 20) // where the manual has three dots
		if _, err := mo.pdus(); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	_, config, _ := strings.Cut(manual, "    smpp: :2776\n")
	config, _, _ = strings.Cut("    smpp: :2776\n"+config, "\n\n")
	cfg := Defaults()
	if err := parseConfig(strings.NewReader(strings.ReplaceAll(config, "\n    ", "\n")[4:]), &cfg); err != nil {
		t.Errorf("%s: %v", config, err)
	}
	if err := cfg.Validate(); err != nil || len(cfg.Accounts) != 2 || len(cfg.Behaviour.Rules) != 1 || cfg.Accounts[1].Window != 10 {
		t.Errorf("%+v: %v", cfg, err)
	}
	if len(behaviours) < 6 || len(mos) < 4 {
		t.Errorf("only %d behaviours and %d messages were found", len(behaviours), len(mos))
	}
	for _, line := range strings.Split(index, "\n") {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[1], "/") {
			path, _, _ := strings.Cut(f[1], "/{")
			if !strings.Contains(manual, path) {
				t.Errorf("%s %s is not in the manual", f[0], f[1])
			}
		}
	}
}
