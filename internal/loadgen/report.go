package loadgen

import (
	"encoding/json"
	"errors"
	"math"
	"time"
)

// ReportFormat is the version of the report's JSON; fields are added without changing it.
const ReportFormat = 1

// Report says what a run came to. Rates, latencies and process figures are about the measured
// messages; Warmup are those before. docs/loadgen.md explains the JSON.
type Report struct {
	Format      int       `json:"format"`
	Run         string    `json:"run"`
	Protocol    string    `json:"protocol"`
	Engine      string    `json:"engine"` // of SMPP; http otherwise
	Target      string    `json:"target"`
	Started     time.Time `json:"started"` // of the measured part
	Interrupted bool      `json:"interrupted"`
	Fault       string    `json:"fault,omitempty"` // why the run ended early by itself

	Connections int     `json:"connections"`
	Depth       int     `json:"depth"` // window or pipeline
	Rate        float64 `json:"rate"`  // asked for; 0 for none
	Parts       int     `json:"parts"` // short messages of each message

	Counts
	Warmup  Counts   `json:"warmup"`
	Elapsed float64  `json:"elapsed_s"` // first message due to last answer
	PerS    float64  `json:"accepted_per_s"`
	Latency Latency  `json:"latency_ms"`       // of accepted messages, from when they were due
	Lag     Latency  `json:"lag_ms,omitzero"`  // with a rate: how much later than due they were sent
	Refused []Reason `json:"rejections"`       // of rejected messages, warm-up included
	Missing []Reason `json:"no_answer"`        // of unanswered messages, warm-up included
	Connect []Reason `json:"connect_failures"` // failed attempts, which cost no message
	Opened  int64    `json:"connections_opened"`

	Arrival   *Arrival     `json:"arrival,omitempty"` // with smsc-sim
	Reports   *Reports     `json:"reports,omitempty"` // with delivery reports
	Processes []ProcessUse `json:"processes"`         // this one first
}

// Counts are numbers of messages; sent = accepted + rejected + unanswered.
type Counts struct {
	Sent       int64 `json:"sent"`
	Accepted   int64 `json:"accepted"`
	Rejected   int64 `json:"rejected"`
	Unanswered int64 `json:"unanswered"` // no answer came, so they may or may not have been taken
	Requests   int64 `json:"requests"`   // HTTP requests or submit_sm, further tries included
	Retries    int64 `json:"retries"`
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

// Reason counts messages, or attempts to connect, that ended in the same way.
type Reason struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// Arrival compares what was accepted, warm-up included, with what came to the SMSC.
type Arrival struct {
	Accepted    int64       `json:"accepted"`
	Arrived     int64       `json:"arrived"` // of the accepted ones
	Lost        int64       `json:"lost"`
	LostNumbers [][2]uint64 `json:"lost_numbers"` // the first hundred ranges
	Duplicates  int64       `json:"duplicates"`   // messages that came once more
	Unexpected  int64       `json:"unexpected"`   // came without having been accepted: unanswered ones, or parts of refused ones
	Elapsed     float64     `json:"elapsed_s"`    // first measured message due to last arrival
	PerS        float64     `json:"per_s"`        // measured messages that arrived, end to end
}

// Reports are delivery reports: DLRs over HTTP, receipts over SMPP, warm-up included.
type Reports struct {
	IDs          int64   `json:"ids"` // accepted ids, each part's over SMPP
	First        Stage   `json:"level_1"`
	Final        Stage   `json:"final"`
	Intermediate int64   `json:"intermediate"`
	Unknown      int64   `json:"unknown"` // of ids that were not accepted
	Foreign      int64   `json:"foreign"` // of another run, or without an id
	Elapsed      float64 `json:"elapsed_s"`
	PerS         float64 `json:"per_s"` // level-1 and final reports together
	Untracked    int64   `json:"untracked"`
	Misdirected  int64   `json:"misdirected"` // receipts that another ESME got than the one that had submitted
}

// Stage is about one kind of report.
type Stage struct {
	Expected   bool    `json:"expected"`
	Received   int64   `json:"received"` // ids
	Missing    int64   `json:"missing"`  // ids, when expected
	Duplicates int64   `json:"duplicates"`
	Latency    Latency `json:"latency_ms"` // from when the message was due
}

// ProcessUse is what a process used during the measured part.
type ProcessUse struct {
	Name       string  `json:"name"`
	PID        int     `json:"pid"`
	CPU        float64 `json:"cpu_s"`
	CPUPer1000 float64 `json:"cpu_s_per_1000"` // accepted messages
	PeakRSS    int64   `json:"peak_rss_bytes"`
	Gone       bool    `json:"gone,omitempty"` // it ended, so its CPU time is not known
}

// JSON is the report as indented JSON.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// Demand says what a run must have come to.
type Demand struct {
	All        bool  // every message was accepted and reported on
	Duplicates int64 // most that may have come twice; negative for no limit
}

// Errors of Report.Check; each names figures.
var (
	ErrLost        = errors.New("accepted messages were lost")
	ErrDuplicates  = errors.New("too many messages came twice")
	ErrMisdirected = errors.New("receipts went to another ESME")
	ErrNotAll      = errors.New("not every message was accepted and reported on")
	ErrEnded       = errors.New("the run ended early")
	ErrNothing     = errors.New("no message was sent")
)

// Check reports everything in which a run failed.
func (r *Report) Check(d Demand) error {
	var errs []error
	if r.Fault != "" {
		errs = append(errs, ErrEnded)
	}
	if r.Sent == 0 {
		errs = append(errs, ErrNothing)
	}
	if a := r.Arrival; a != nil {
		if a.Lost > 0 {
			errs = append(errs, ErrLost)
		}
		if d.Duplicates >= 0 && a.Duplicates > d.Duplicates {
			errs = append(errs, ErrDuplicates)
		}
	}
	if r.Reports != nil && r.Reports.Misdirected > 0 {
		errs = append(errs, ErrMisdirected)
	}
	missing := r.Reports != nil && r.Reports.First.Missing+r.Reports.Final.Missing > 0
	if d.All && (r.Rejected+r.Unanswered+r.Warmup.Rejected+r.Warmup.Unanswered > 0 || missing) {
		errs = append(errs, ErrNotAll)
	}
	return errors.Join(errs...)
}

func round3(v float64) float64 { return math.Round(v*1e3) / 1e3 }
func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// perSecond is a rate, 0 if there was no time.
func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return math.Round(float64(n)/d.Seconds()*10) / 10
}
