package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Print writes a jasmin.cfg with every key that this version serves: its meaning and its
// default, commented out, and the mode, which is always written.
func Print(w io.Writer, mode Mode) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "# jasmin.cfg of jasmind. Keys that are commented out have the value shown.")
	fmt.Fprintln(b, "# Each can be set by an environment variable as well, which wins: SECTION_KEY in")
	fmt.Fprintln(b, "# capitals, dashes as underscores ([http-api] port is HTTP_API_PORT).")
	section := ""
	for _, k := range table(new(Config)) {
		if k.without != "" {
			continue
		}
		if k.Section != section {
			section = k.Section
			fmt.Fprintf(b, "\n[%s]\n", section)
		}
		for _, line := range wrap(k.Doc, 96) {
			fmt.Fprintln(b, "#", line)
		}
		if k.Section == "gateway" && k.Name == "mode" {
			fmt.Fprintf(b, "mode = %s\n", mode)
			continue
		}
		fmt.Fprintf(b, "#%s = %s\n", k.Name, k.Default)
	}
	return b.Flush()
}

// wrap breaks text into lines of at most width characters.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			out, line = append(out, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(out, line)
}
