// Package features runs the scenarios of the *.feature files, each of them embedded and on
// RabbitMQ and Redis. README.md says how to run some of them.
package features

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cucumber/godog"
	"go.uber.org/goleak"

	"jasmind/features/steps"
)

var (
	feature = flag.String("feature", ".", "`path` of what to run: a feature file, with :LINE one scenario of it, or a folder")
	tags    = flag.String("tags", "", "run the scenarios that match a tag `expression`, such as \"@process && ~@load\"")
	workers = flag.Int("workers", 4, "how many scenarios run at a time")
)

// notHere are the tags of scenarios that a mode cannot run.
var notHere = map[steps.Mode]string{
	steps.Embedded: "~@rabbit && ~@redis",
	steps.Services: "~@embedded",
}

// build makes the program that @process scenarios run, once for all of them.
var (
	buildDir string
	build    = sync.OnceValues(func() (string, error) {
		path := filepath.Join(buildDir, "jasmind")
		out, err := exec.Command("go", "build", "-o", path, "jasmind/cmd/jasmind").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, err
	})
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "jasmind-features-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	buildDir = dir
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left behind:", err)
			code = 1
		}
	}
	return code
}

func TestFeatures(t *testing.T) {
	for _, mode := range []steps.Mode{steps.Embedded, steps.Services} {
		t.Run(string(mode), func(t *testing.T) {
			suite := steps.NewSuite(mode, t, build)
			expression := notHere[mode]
			if *tags != "" {
				expression += " && " + *tags
			}
			var out bytes.Buffer
			format := "progress"
			if testing.Verbose() {
				format = "pretty"
			}
			status := godog.TestSuite{
				Name:                string(mode),
				ScenarioInitializer: suite.Scenario,
				Options: &godog.Options{
					TestingT: t, Strict: true, Paths: []string{*feature}, Tags: expression,
					Format: format, Output: &out, NoColors: true,
					Concurrency: *workers, Randomize: time.Now().UnixNano(),
				},
			}.Run()
			if status != 0 || testing.Verbose() {
				t.Log(out.String())
			}
			for _, s := range []string{suite.Slowest(), suite.Programs()} {
				if s != "" {
					t.Log(s)
				}
			}
			if status != 0 {
				t.Errorf("godog ended with status %d", status)
			}
			if suite.Ran() == 0 && *tags == "" && *feature == "." {
				t.Error("no scenario was run")
			}
		})
	}
}
