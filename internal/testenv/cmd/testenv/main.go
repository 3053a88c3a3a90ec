// Command testenv runs a command with the RabbitMQ and the Redis that the tests need:
//
//	go run ./internal/testenv/cmd/testenv -- go test ./...
//
// It exits as the command did. (go run itself turns every failure into 1.)
package main

import (
	"os"

	"jasmind/internal/testenv"
)

func main() { os.Exit(testenv.Command(os.Args[1:])) }
