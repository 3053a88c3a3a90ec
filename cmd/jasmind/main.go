// Command jasmind is the SMS gateway. See jasmind --help.
package main

import (
	"os"

	"jasmind/internal/daemon"
)

// version is set by the Makefile.
var version = "development"

func main() { os.Exit(daemon.Main(os.Args[1:], version, os.Stdout, os.Stderr)) }
