package daemon

import (
	"fmt"
	"io"
	"os"

	"jasmind/internal/config"
	"jasmind/internal/profile"
)

// profileCommand converts profiles of the console to provisioning files and back.
func profileCommand(args []string, stdout, stderr io.Writer) int {
	bad := func(format string, a ...any) int { return complain(stderr, fmt.Errorf("profile: "+format, a...)) }
	if len(args) == 0 {
		return bad("say export NAME or import NAME FILE")
	}
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			help(stdout)
			return ExitOK
		}
	}
	f := quiet("jasmind profile " + args[0])
	var file string
	for _, name := range []string{"c", "config"} {
		f.StringVar(&file, name, "", "configuration file")
	}
	replace := false
	if args[0] == "import" {
		f.BoolVar(&replace, "replace", false, "replace a profile of that name")
	}
	if err := f.Parse(args[1:]); err != nil {
		return bad("%s: %w", args[0], err)
	}
	rest := f.Args()
	cfg, err := config.Load(config.Options{File: file, Root: os.Geteuid() == 0})
	if err != nil {
		return complain(stderr, err)
	}
	switch {
	case args[0] == "export" && len(rest) == 1:
		text, err := profile.Export(cfg.Paths.Store, rest[0])
		if err != nil {
			return complain(stderr, err)
		}
		if _, err := stdout.Write(text); err != nil {
			fmt.Fprintln(stderr, "jasmind: profile export:", err)
			return ExitRuntime
		}
		return ExitOK
	case args[0] == "import" && len(rest) == 2:
		if err := profile.Import(cfg.Paths.Store, rest[0], rest[1], replace); err != nil {
			return complain(stderr, err)
		}
		fmt.Fprintf(stdout, "%s is now profile %s in %s\n", rest[1], rest[0], cfg.Paths.Store)
		return ExitOK
	case args[0] == "export" || args[0] == "import":
		return bad("%s: say export NAME or import [--replace] NAME FILE", args[0])
	}
	return bad("%q: say export NAME or import NAME FILE", args[0])
}
