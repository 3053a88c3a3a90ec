package loadgen

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// table is the report for people: names on the left, values on the right, one below the other.
type table struct{ b strings.Builder }

func (t *table) row(name, format string, args ...any) {
	fmt.Fprintf(&t.b, "  %-16s %s\n", name, fmt.Sprintf(format, args...))
}

func (t *table) heading(s string) { fmt.Fprintf(&t.b, "%s\n", s) }

func (t *table) write(w io.Writer) { io.WriteString(w, t.b.String()) } //nolint:errcheck // nobody is there to be told

// WriteText writes the report as a table for people.
func (r *Report) WriteText(w io.Writer) {
	t := &table{}
	what := r.Protocol
	if r.Protocol == SMPP {
		what += " (" + r.Engine + ")"
	}
	t.heading(fmt.Sprintf("run %s: %s, %s, %d x %d in flight", r.Run, what, r.Target, r.Connections, r.Depth))
	switch {
	case r.Fault != "":
		t.row("ended early", "%s", r.Fault)
	case r.Interrupted:
		t.row("ended early", "interrupted")
	}
	t.row("sent", "%s in %s", grouped(r.Sent), seconds(r.Elapsed))
	t.row("accepted", "%s, %s/s", grouped(r.Accepted), grouped(int64(r.PerS)))
	t.row("rejected", "%s", grouped(r.Rejected))
	t.row("no answer", "%s", grouped(r.Unanswered))
	if r.Parts > 1 {
		t.row("parts", "%d each", r.Parts)
	}
	if r.Retries > 0 {
		t.row("sent again", "%s times", grouped(r.Retries))
	}
	if w := r.Warmup; w.Sent > 0 {
		t.row("warm-up", "%s sent, %s accepted before", grouped(w.Sent), grouped(w.Accepted))
	}
	t.latency("latency", r.Latency)
	t.latency("sent late", r.Lag)
	t.reasons("rejections", r.Refused)
	t.reasons("no answer because", r.Missing)
	t.reasons("failed to connect", r.Connect)
	if r.Arrival != nil {
		t.heading("at the SMSC")
		t.arrival(r.Arrival)
	}
	if r.Reports != nil {
		t.reports(r.Reports)
	}
	t.processes(r.Processes)
	t.write(w)
}

func (t *table) latency(name string, l Latency) {
	if l.Count > 0 {
		t.row(name, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	}
}

func (t *table) reasons(title string, list []Reason) {
	if len(list) == 0 {
		return
	}
	t.heading(title)
	for i, r := range list {
		if i == 20 {
			t.row("", "and %d other reasons", len(list)-i)
			break
		}
		t.row(fmt.Sprintf("%14s", grouped(r.Count)), "%s", r.Reason)
	}
}

func (t *table) arrival(a *Arrival) {
	t.row("accepted", "%s", grouped(a.Accepted))
	if a.PerS > 0 {
		t.row("arrived", "%s, %s/s end to end, the last after %s", grouped(a.Arrived), grouped(int64(a.PerS)), seconds(a.Elapsed))
	} else {
		t.row("arrived", "%s", grouped(a.Arrived))
	}
	t.row("lost", "%s%s", grouped(a.Lost), ranges(a.LostNumbers))
	t.row("came twice", "%s", grouped(a.Duplicates))
	if a.Unexpected > 0 {
		t.row("not accepted", "%s arrived all the same", grouped(a.Unexpected))
	}
}

func ranges(list [][2]uint64) string {
	const most = 5
	var b strings.Builder
	for i, r := range list {
		switch {
		case i == most:
			b.WriteString(", ...")
			return b.String()
		case i == 0:
			b.WriteString(": ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(strconv.FormatUint(r[0], 10))
		if r[1] > r[0] {
			b.WriteString("-" + strconv.FormatUint(r[1], 10))
		}
	}
	return b.String()
}

func (t *table) reports(r *Reports) {
	t.heading(fmt.Sprintf("delivery reports, %s/s", grouped(int64(r.PerS))))
	stage := func(name string, s Stage) {
		if !s.Expected && s.Received == 0 {
			return
		}
		t.row(name, "%s of %s, %s missing, %s twice", grouped(s.Received), grouped(r.IDs), grouped(s.Missing), grouped(s.Duplicates))
		t.latency("", s.Latency)
	}
	stage("level 1", r.First)
	stage("final", r.Final)
	if r.Intermediate > 0 {
		t.row("intermediate", "%s", grouped(r.Intermediate))
	}
	if r.Unknown+r.Foreign > 0 {
		t.row("not ours", "%s of unknown ids, %s of other runs or without an id", grouped(r.Unknown), grouped(r.Foreign))
	}
	if r.Misdirected > 0 {
		t.row("misdirected", "%s went to another ESME", grouped(r.Misdirected))
	}
	if r.Untracked > 0 {
		t.row("not tracked", "%s: there was no room for more ids", grouped(r.Untracked))
	}
}

func (t *table) processes(list []ProcessUse) {
	if len(list) == 0 {
		return
	}
	t.heading("processes")
	for _, p := range list {
		if p.Gone {
			t.row(p.Name, "%d has ended", p.PID)
			continue
		}
		t.row(p.Name, "%.2f CPU-s, %.4f per 1,000 accepted, peak %.1f MB", p.CPU, p.CPUPer1000, float64(p.PeakRSS)/1e6)
	}
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

func ms(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.3fms", v)
	case v < 1000:
		return fmt.Sprintf("%.1fms", v)
	}
	return fmt.Sprintf("%.2fs", v/1000)
}

// progressLine shows how far a run is: on a terminal one line that is written over, else a line each time.
type progressLine struct {
	w        io.Writer
	terminal bool
	before   Progress
	width    int // of what stands there
}

// show writes the line. It is called by one goroutine at a time.
func (l *progressLine) show(p Progress) {
	s := l.text(p)
	l.before = p
	if !l.terminal {
		io.WriteString(l.w, s+"\n") //nolint:errcheck // nobody is there to be told
		return
	}
	fmt.Fprintf(l.w, "\r%-*s", l.width, s) //nolint:errcheck // nobody is there to be told
	l.width = len(s)
}

// clear takes the line away.
func (l *progressLine) clear() {
	if l.terminal && l.width > 0 {
		fmt.Fprintf(l.w, "\r%*s\r", l.width, "") //nolint:errcheck // nobody is there to be told
	}
}

func (l *progressLine) text(p Progress) string {
	var b strings.Builder
	done := p.Accepted + p.Rejected + p.Unanswered
	if p.Total > 0 {
		const width = 20
		full := int(min(done*width/p.Total, width))
		fmt.Fprintf(&b, "[%s%s] %3d%% ", strings.Repeat("#", full), strings.Repeat(".", width-full), done*100/p.Total)
	}
	fmt.Fprintf(&b, "%s %s accepted", p.Phase, grouped(p.Accepted))
	if d := p.Elapsed - l.before.Elapsed; d > 0 {
		fmt.Fprintf(&b, ", %s/s", grouped(int64(float64(p.Accepted-l.before.Accepted)/d.Seconds())))
	}
	if p.Rejected > 0 {
		fmt.Fprintf(&b, ", %s rejected", grouped(p.Rejected))
	}
	if p.Unanswered > 0 {
		fmt.Fprintf(&b, ", %s no answer", grouped(p.Unanswered))
	}
	if p.WantReport {
		fmt.Fprintf(&b, ", %s reports", grouped(p.Reports))
	}
	return b.String()
}
