package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// smsc asks smsc-sim's HTTP API what has arrived.
type smsc struct {
	base   string
	client *http.Client
}

// idsReport is the answer of GET /stats/ids, see docs/smsc-sim.md.
type idsReport struct {
	Run        string      `json:"run"`
	Distinct   uint64      `json:"distinct"`
	Duplicates uint64      `json:"duplicates"`
	Highest    uint64      `json:"highest"`
	Missing    uint64      `json:"missing"`
	Ranges     [][2]uint64 `json:"ranges"`
	MoreRanges bool        `json:"more_ranges"`
}

func validSMSC(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("must be a URL such as http://127.0.0.1:8776")
	}
	return nil
}

func newSMSC(base string) *smsc {
	return &smsc{strings.TrimRight(base, "/"), &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

func (s *smsc) close() { s.client.CloseIdleConnections() }

// get decodes the JSON at a path. found is false when the answer is 404.
func (s *smsc) get(ctx context.Context, path string, v any) (found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return false, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("smsc-sim: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return false, fmt.Errorf("smsc-sim: GET %s: %w", path, err)
	case resp.StatusCode == http.StatusNotFound:
		return false, nil
	case resp.StatusCode != http.StatusOK:
		return false, fmt.Errorf("smsc-sim: GET %s: %s: %s", path, resp.Status, clean(string(body)))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("smsc-sim: GET %s: %w", path, err)
	}
	return true, nil
}

// reachable tells early that nothing will be counted.
func (s *smsc) reachable(ctx context.Context) error {
	found, err := s.get(ctx, "/stats", &struct{}{})
	if err == nil && !found {
		err = fmt.Errorf("smsc-sim: %s has no /stats: it is not the HTTP API of smsc-sim", s.base)
	}
	return err
}

// ids reports on a run: numbers first to first+expect-1. A run of which nothing came is all missing.
func (s *smsc) ids(ctx context.Context, run string, first, expect uint64) (idsReport, error) {
	var rep idsReport
	q := url.Values{"run": {run}}
	if expect > 0 {
		q.Set("first", strconv.FormatUint(first, 10))
		q.Set("expect", strconv.FormatUint(expect, 10))
	}
	found, err := s.get(ctx, "/stats/ids?"+q.Encode(), &rep)
	if err == nil && (!found || rep.Distinct == 0) && expect > 0 {
		rep = idsReport{Run: run, Missing: expect, Ranges: [][2]uint64{{first, first + expect - 1}}}
	}
	return rep, err
}

// arrivals compares what arrived with what was accepted: numbers 1 to the highest.
func (s *smsc) arrivals(ctx context.Context, run string, accepted *bitmap) (Arrival, error) {
	a := Arrival{Accepted: int64(accepted.count), LostNumbers: [][2]uint64{}}
	highest := accepted.max()
	all, err := s.ids(ctx, run, 1, max(highest, 1))
	if err != nil {
		return a, err
	}
	a.Duplicates = int64(all.Duplicates)
	rep := all
	for {
		looked := uint64(0) // up to here
		for _, g := range rep.Ranges {
			accepted.within(g[0], g[1], func(n uint64) bool { a.lose(n); return true })
			looked = g[1]
		}
		if !rep.MoreRanges || looked == 0 || looked >= highest {
			break
		}
		if rep, err = s.ids(ctx, run, looked+1, highest-looked); err != nil {
			return a, err
		}
	}
	a.Arrived = a.Accepted - a.Lost
	a.Unexpected = max(int64(all.Distinct)-a.Arrived, 0)
	return a, nil
}

// maxLostRanges bounds the list of lost numbers in a report.
const maxLostRanges = 100

// lose adds a lost number to the report.
func (a *Arrival) lose(n uint64) {
	a.Lost++
	if k := len(a.LostNumbers); k > 0 && a.LostNumbers[k-1][1] == n-1 {
		a.LostNumbers[k-1][1] = n
	} else if k < maxLostRanges {
		a.LostNumbers = append(a.LostNumbers, [2]uint64{n, n})
	}
}

// pollEvery is how often arrivals are looked at: the precision of the time at which all were there.
const pollEvery = 50 * time.Millisecond

// awaiting follows what arrives of a run.
type awaiting struct {
	smsc *smsc
	run  string
	seen uint64    // distinct numbers
	last time.Time // when their number last rose
}

func (s *smsc) await(run string) *awaiting { return &awaiting{smsc: s, run: run, last: time.Now()} }

// until waits until want messages have arrived, or none did for the settle time, or ctx ends.
func (w *awaiting) until(ctx context.Context, want uint64, settle time.Duration) error {
	began := time.Now()
	for {
		rep, err := w.smsc.ids(ctx, w.run, 0, 0)
		now := time.Now()
		if err == nil && rep.Distinct > w.seen {
			w.last, w.seen = now, rep.Distinct
		}
		since := w.last
		if began.After(since) {
			since = began
		}
		switch {
		case ctx.Err() != nil, err == nil && w.seen >= want:
			return nil
		case now.Sub(since) >= settle:
			return err
		}
		sleep(ctx, pollEvery)
	}
}

// all waits until none of the numbers is missing, or nothing new comes for the settle time, and
// compares.
func (w *awaiting) all(ctx context.Context, numbers *bitmap, settle time.Duration) (Arrival, error) {
	ask := context.WithoutCancel(ctx)
	for want := numbers.count; ; {
		if err := w.until(ctx, want, settle); err != nil {
			return Arrival{}, err
		}
		a, err := w.smsc.arrivals(ask, w.run, numbers)
		// Messages that arrived without having been accepted hide those that are still to come.
		next := numbers.count + uint64(a.Unexpected)
		if err != nil || a.Lost == 0 || ctx.Err() != nil || next <= want {
			return a, err
		}
		want = next
	}
}

// sleep waits, not longer than ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
