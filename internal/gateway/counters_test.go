package gateway_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the list of counters anew")

// Operators' graphs and scripts know the counters by their names: those of the console, in the order in which it
// prints them, and those of /metrics with their types and labels.
func TestNamesOfCounters(t *testing.T) {
	const list = "testdata/counters.txt"
	smsc := startSMSC(t, false)
	g := start(t, t.TempDir(), provisioning(t, smsc.addr, ""))
	defer stop(t, g)

	var b strings.Builder
	o := logIn(t, g)
	item := regexp.MustCompile(`(?m)^#(\S+)(?: +(SMPP Server|HTTP Api))?`)
	for _, command := range []string{"stats --httpapi", "stats --smppsapi", "stats --smppc abc", "stats --user foo"} {
		fmt.Fprintf(o.conn, "%s\r\n", command)
		fmt.Fprintln(&b, command)
		for _, m := range item.FindAllStringSubmatch(o.await(prompt), -1) {
			fmt.Fprintln(&b, strings.TrimRight("  "+m[1]+" "+m[2], " "))
		}
	}
	o.quit()

	fmt.Fprintln(&b, "/metrics")
	var metrics []string
	types := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	page := get(t, g, "/metrics", nil)
	for _, m := range types.FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[1], "go_") || strings.HasPrefix(m[1], "process_") {
			continue
		}
		label := ""
		if sample := regexp.MustCompile(`(?m)^` + m[1] + `\{(\w+)=`).FindStringSubmatch(page); sample != nil {
			label = " " + sample[1]
		}
		metrics = append(metrics, "  "+m[1]+" "+m[2]+label)
	}
	slices.Sort(metrics)
	fmt.Fprintln(&b, strings.Join(metrics, "\n"))

	if *update {
		if err := os.WriteFile(list, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	// What is new needs no place in the list, so that it can come with its counter alone.
	got := slices.Collect(strings.Lines(b.String()))
	for line := range strings.Lines(string(want)) {
		i := slices.Index(got, line)
		if i < 0 {
			t.Errorf("%q is gone, or not where it was, in\n%s", line, b.String())
			continue
		}
		got = got[i+1:]
	}
}
