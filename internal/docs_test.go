package internal

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A link to a page or a heading that is not there helps nobody.
func TestLinksInTheDocumentationLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(append(pages, decisions...), "../README.md", "../CHANGELOG.md")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	seen := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			file, heading, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			content, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); err != nil && (statErr != nil || !info.IsDir()) {
				t.Errorf("%s: %s: %v", page, m[1], err)
				continue
			}
			if heading != "" && !hasHeading(string(content), heading) {
				t.Errorf("%s: %s: there is no such heading", page, m[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no link was found: is the pattern right?")
	}
}

// Decisions are numbered without a gap that the index does not explain.
func TestTheIndexNamesEveryDecision(t *testing.T) {
	const folder = "../docs/decisions/"
	index, err := os.ReadFile(folder + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(folder + "[0-9]*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d decisions: %v", len(pages), err)
	}
	there := make(map[int]bool)
	last := 0
	for _, page := range pages {
		name := filepath.Base(page)
		n, err := strconv.Atoi(name[:4])
		if err != nil || there[n] {
			t.Errorf("%s has no number of its own", name)
		}
		there[n], last = true, max(last, n)
		if !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("the index does not name %s", name)
		}
	}
	for n := 1; n <= last; n++ {
		if !there[n] && !strings.Contains(string(index), fmt.Sprintf("\n- %d: never used", n)) {
			t.Errorf("there is no decision %d, and the index does not say why", n)
		}
	}
}

// hasHeading tells whether a page has the heading that an anchor names.
func hasHeading(content, anchor string) bool {
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(content) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		if strings.ReplaceAll(drop.ReplaceAllString(title, ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
