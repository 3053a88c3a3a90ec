package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// clockTicks is USER_HZ, in which Linux reports CPU time on every architecture that Go runs on.
const clockTicks = 100

// usage watches processes through /proc (proc_pid_stat(5)).
type usage struct {
	procs  []Process
	before []time.Duration
	peak   []atomic.Int64 // octets
}

// newUsage watches the given processes and, first, this one.
func newUsage(procs []Process) (*usage, error) {
	u := &usage{procs: append([]Process{{"loadgen", os.Getpid()}}, procs...)}
	u.before = make([]time.Duration, len(u.procs))
	u.peak = make([]atomic.Int64, len(u.procs))
	for _, p := range procs {
		if _, _, err := readProc(p.PID); err != nil {
			return nil, fmt.Errorf("--pid %s=%d: %w", p.Name, p.PID, err)
		}
	}
	u.begin()
	return u, nil
}

// begin starts the measurement anew.
func (u *usage) begin() {
	for i, p := range u.procs {
		u.before[i], _, _ = readProc(p.PID) //nolint:errcheck // a process that is gone has used nothing
		u.peak[i].Store(0)
	}
	u.sample()
}

// sample notes the memory in use.
func (u *usage) sample() {
	for i, p := range u.procs {
		if _, rss, err := readProc(p.PID); err == nil {
			u.peak[i].Store(max(u.peak[i].Load(), rss))
		}
	}
}

// watch samples until ctx ends.
func (u *usage) watch(ctx context.Context) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			u.sample()
		}
	}
}

// end gives the result: CPU time since begin and memory, per message accepted.
func (u *usage) end(messages int64) []ProcessUse {
	u.sample()
	var list []ProcessUse
	for i, p := range u.procs {
		use := ProcessUse{Name: p.Name, PID: p.PID, PeakRSS: u.peak[i].Load()}
		cpu, _, err := readProc(p.PID)
		if err != nil {
			use.Gone = true
		} else {
			use.CPU = round3((cpu - u.before[i]).Seconds())
			if messages > 0 {
				use.CPUPer1000 = round6((cpu - u.before[i]).Seconds() * 1000 / float64(messages))
			}
		}
		list = append(list, use)
	}
	return list
}

// readProc reads CPU time and resident memory of a process.
func readProc(pid int) (cpu time.Duration, rss int64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStat(b)
}

// parseStat reads /proc/PID/stat, whose second field, in brackets, may contain anything.
func parseStat(b []byte) (cpu time.Duration, rss int64, err error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 22 {
		return 0, 0, fmt.Errorf("stat %.60q: too few fields", b)
	}
	var v [3]int64
	for i, field := range []int{11, 12, 21} { // utime, stime, rss: fields 14, 15 and 24 of the whole line
		if v[i], err = strconv.ParseInt(string(f[field]), 10, 64); err != nil {
			return 0, 0, fmt.Errorf("stat: %w", err)
		}
	}
	return time.Duration(v[0]+v[1]) * (time.Second / clockTicks), v[2] * int64(os.Getpagesize()), nil
}
