// Command demo starts jasmind and smsc-sim together; see package demo.
package main

import (
	"os"

	"jasmind/internal/demo"
)

func main() { os.Exit(demo.Command(os.Args[1:], os.Stdout, os.Stderr)) }
