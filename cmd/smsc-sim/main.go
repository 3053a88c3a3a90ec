// Command smsc-sim simulates an SMSC for those who test an ESME: see smsc-sim --help
// and docs/smsc-sim.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"jasmind/internal/smscsim"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	cmd := smscsim.Command{Version: release(), Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(cmd.Run(ctx, os.Args[1:]))
}

// release is the version, or the commit it was built from.
func release() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel " + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
