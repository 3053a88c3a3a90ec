// Package throw delivers DLRs to the HTTP endpoints that asked for them, again and again
// until they are acknowledged (Jasmin: DLRThrower).
//
// Delivery is at least once: an endpoint may see the same DLR twice after a crash, or when
// its acknowledgement came too late. A repeat carries the same parameters, so an endpoint
// that stores the state by message id and level is not harmed.
package throw

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// Config holds the settings of a thrower ([dlr-thrower] in jasmin.cfg).
type Config struct {
	Timeout     time.Duration // http_timeout: a whole call, default 30 s
	RetryDelay  time.Duration // retry_delay, default 30 s
	MaxRetries  int           // max_retries after the first try, default 3; 0: none
	PerHost     int           // calls under way to one host, default 16
	WaitPerHost int           // DLRs that wait here for a busy host at most, default: as many as leave room for other hosts; more go back to the queue
	Prefetch    int           // DLRs taken from the queue and not settled, default 1024
	TLS         *tls.Config   // for https; nil: the system's roots
	UserAgent   string        // default "Jasmin gateway/1.0 DLRThrower"
}

func (c *Config) defaults() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.RetryDelay <= 0 {
		c.RetryDelay = 30 * time.Second
	}
	def(&c.PerHost, 16)
	def(&c.Prefetch, 1024)
	def(&c.WaitPerHost, c.Prefetch)
	if c.UserAgent == "" {
		c.UserAgent = "Jasmin gateway/1.0 DLRThrower"
	}
}

// Metrics counts what a thrower did. Fields may be read at any time.
type Metrics struct {
	Delivered atomic.Int64 // acknowledged by the endpoint
	Failed    atomic.Int64 // calls that were not acknowledged
	Deferred  atomic.Int64 // put back because their host was busy
	Dead      atomic.Int64 // given up, moved to the dead-letter queue
}

// consumer subscribes to a queue.
type consumer interface {
	Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error)
}

// HTTP throws DLRs from dlr_thrower.http. Create it with NewHTTP.
type HTTP struct {
	cfg     Config
	broker  consumer
	journal journal.Journal
	log     *slog.Logger
	client  *http.Client
	grace   time.Duration
	Metrics Metrics
}

// outcome is what became of one delivery.
type outcome struct {
	d     *queue.Delivery
	kind  outcomeKind
	after time.Duration
	why   string
}

type outcomeKind uint8

const (
	delivered outcomeKind = iota
	retry
	deferred
	dead
)

// NewHTTP makes the thrower; Run starts it.
func NewHTTP(cfg Config, broker consumer, j journal.Journal, log *slog.Logger) *HTTP {
	cfg.defaults()
	return &HTTP{
		cfg: cfg, broker: broker, journal: j, log: log, grace: settleGrace,
		client: &http.Client{
			Timeout: cfg.Timeout,
			// A redirect is not followed: an acknowledgement is the endpoint's own.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: min(cfg.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}).DialContext,
				TLSClientConfig:        cfg.TLS,
				MaxIdleConns:           1024,
				MaxIdleConnsPerHost:    cfg.PerHost,
				MaxConnsPerHost:        cfg.PerHost, // rather wait for one that is about to be free than dial another
				IdleConnTimeout:        90 * time.Second,
				ResponseHeaderTimeout:  cfg.Timeout,
				MaxResponseHeaderBytes: 64 << 10,
				DisableCompression:     true,
			},
		},
	}
}

// settleGrace is how long, after Run's context ended, what the calls brought may take to become
// durable.
const settleGrace = 5 * time.Second

// reliefInterval is how often hosts that hold the room and stopped answering are looked for.
const reliefInterval = 250 * time.Millisecond

// errEnded is what becomes of a thrower whose queue was deleted.
var errEnded = errors.New("the subscription ended")

// Run throws until ctx ends. Calls under way then are cut off; their DLRs go back to the queue.
// An error is that the queue cannot be consumed, or not any more.
func (t *HTTP) Run(ctx context.Context) error {
	c, err := t.broker.Consume(ctx, queue.DLRThrowerHTTP, t.cfg.Prefetch)
	if err != nil {
		return fmt.Errorf("consume %s: %w", queue.DLRThrowerHTTP, err)
	}
	defer t.client.CloseIdleConnections()
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was not settled comes again, whatever it says
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	settling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(t.grace):
			giveUp()
		case <-settling.Done():
		}
	})
	defer stop()
	r := &run{HTTP: t, hosts: newHosts(&t.cfg), done: make(chan outcome, t.cfg.Prefetch)}
	var settler sync.WaitGroup
	settler.Go(func() { r.settleLoop(settling) })
	err = r.consume(ctx, c)
	cancel()
	r.callers.Wait()
	close(r.done)
	settler.Wait()
	return err
}

// run is the state of one Run. What is done goes to one goroutine that settles it; it
// takes all, whether the journal does or not, so that nobody waits for ever to hand over.
type run struct {
	*HTTP
	hosts   *hosts
	callers sync.WaitGroup
	done    chan outcome
}

func (r *run) consume(ctx context.Context, c queue.Consumer) error {
	relief := time.NewTicker(reliefInterval)
	defer relief.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-relief.C:
			r.giveBack(r.hosts.relieve(now))
		case d, ok := <-c.C():
			if ok {
				r.dispatch(ctx, d)
			} else if ctx.Err() == nil {
				return fmt.Errorf("consume %s: %w", queue.DLRThrowerHTTP, errEnded)
			}
		}
	}
}

// job is a DLR that was decoded.
type job struct {
	d    *queue.Delivery
	dlr  *queue.HTTPDLR
	url  *url.URL
	host string
}

func newJob(d *queue.Delivery) (job, error) {
	dlr, err := queue.DecodeHTTPDLR(&d.Message)
	if err != nil {
		return job{}, err
	}
	u, err := url.Parse(dlr.URL)
	if err != nil {
		return job{}, fmt.Errorf("dlr-url: %w", withoutURL(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return job{}, fmt.Errorf("dlr-url %q is no http or https URL", loggedURL(u))
	}
	return job{d, dlr, u, hostOf(u)}, nil
}

func (r *run) dispatch(ctx context.Context, d *queue.Delivery) {
	j, err := newJob(d)
	if err != nil {
		r.done <- outcome{d: d, kind: dead, why: err.Error()}
		return
	}
	v, back := r.hosts.take(j, time.Now())
	if v == start {
		r.callers.Go(func() { r.serve(ctx, j) })
	}
	r.giveBack(back)
}

func (r *run) giveBack(back []sentBack) {
	for _, b := range back {
		r.done <- outcome{d: b.j.d, kind: deferred, after: b.after}
	}
}

// serve calls the endpoint for j and for what waits for the same host meanwhile.
func (r *run) serve(ctx context.Context, j job) {
	for ok := true; ok && ctx.Err() == nil; {
		began := time.Now()
		o := r.call(ctx, j)
		if o.kind != delivered && ctx.Err() != nil {
			return // cut off: it says nothing of the endpoint
		}
		r.done <- o
		ended := time.Now()
		j, ok = r.hosts.next(j.host, ended.Sub(began), ended)
	}
}

// settleMax is the number of outcomes that one journal entry settles at most.
const settleMax = 256

func (r *run) settleLoop(ctx context.Context) {
	batch := make([]outcome, 0, settleMax)
	for o := range r.done {
		batch = append(batch[:0], o)
	fill:
		for len(batch) < settleMax {
			select {
			case o, ok := <-r.done:
				if !ok {
					break fill
				}
				batch = append(batch, o)
			default:
				break fill
			}
		}
		r.settle(ctx, batch)
	}
}

// settle makes outcomes durable, again and again until ctx ends; then they are forgotten and
// their DLRs come again.
func (r *run) settle(ctx context.Context, batch []outcome) {
	var e journal.Entry
	for i := range batch {
		batch[i].addTo(&e)
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := r.journal.Commit(ctx, &e)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			r.log.Warn("DLRs could not be settled, they will come again", "count", len(batch), "err", err)
			return
		}
		r.log.Warn("settling DLRs will be retried", "count", len(batch), "in", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	for i := range batch {
		r.account(&batch[i])
	}
}

func (o *outcome) addTo(e *journal.Entry) {
	switch o.kind {
	case delivered:
		e.Ack = append(e.Ack, journal.Ack{Delivery: o.d})
	case deferred:
		e.Retry = append(e.Retry, queue.Retry{Delivery: o.d, After: o.after})
	case retry:
		h := o.d.Headers.Clone().WithInt(queue.HeaderThrows, o.d.Headers.Int(queue.HeaderThrows)+1)
		e.Retry = append(e.Retry, queue.Retry{Delivery: o.d, After: o.after, Headers: h})
	case dead:
		e.Publish = append(e.Publish, queue.Bury(o.d, o.why))
		e.Ack = append(e.Ack, journal.Ack{Delivery: o.d})
	}
}

func (t *HTTP) account(o *outcome) {
	switch o.kind {
	case delivered:
		t.Metrics.Delivered.Add(1)
	case deferred:
		t.Metrics.Deferred.Add(1)
	case dead:
		t.Metrics.Dead.Add(1)
		t.log.Error("DLR given up, moved to the dead-letter queue", "msgid", o.d.ID, "err", o.why)
	}
}

// answerMax is how much of an answer is read: the acknowledgement is ten characters.
const answerMax = 4 << 10

// Acknowledgement is the body by which an endpoint acknowledges, white space around it allowed.
const Acknowledgement = "ACK/Jasmin"

// call calls the endpoint once.
func (t *HTTP) call(ctx context.Context, j job) outcome {
	req, err := t.request(ctx, j)
	if err != nil {
		return outcome{d: j.d, kind: dead, why: err.Error()}
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return t.failed(ctx, j, withoutURL(err), false)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	switch {
	case err != nil:
		return t.failed(ctx, j, fmt.Errorf("read answer: %w", err), false)
	case resp.StatusCode == http.StatusNotFound:
		return t.failed(ctx, j, errors.New("HTTP 404, which is final"), true)
	case resp.StatusCode >= 400:
		return t.failed(ctx, j, fmt.Errorf("HTTP %d", resp.StatusCode), false)
	case !bytes.Equal(bytes.TrimSpace(body), []byte(Acknowledgement)):
		return t.failed(ctx, j, fmt.Errorf("HTTP %d, but the body is %.40q instead of %s", resp.StatusCode, body, Acknowledgement), false)
	}
	//nolint:sloglint // Jasmin: operators parse this line
	t.log.Info("DLR-HTTP [msgid:" + string(j.dlr.MsgID) + "] [status:" + j.dlr.Status + "] [level:" + strconv.Itoa(j.dlr.Level) + "] [url:" + loggedURL(j.url) + "]")
	return outcome{d: j.d, kind: delivered}
}

func (t *HTTP) failed(ctx context.Context, j job, err error, final bool) outcome {
	if ctx.Err() != nil {
		return outcome{d: j.d, kind: retry}
	}
	t.Metrics.Failed.Add(1)
	throws := int(j.d.Headers.Int(queue.HeaderThrows)) + 1
	if final || throws > t.cfg.MaxRetries {
		return outcome{d: j.d, kind: dead, why: fmt.Sprintf("try %d of %s: %v", throws, loggedURL(j.url), err)}
	}
	t.log.Warn("DLR was not acknowledged, will be retried", "msgid", string(j.dlr.MsgID), "status", j.dlr.Status, "level", j.dlr.Level,
		"url", loggedURL(j.url), "try", throws, "in", t.cfg.RetryDelay, "err", err)
	return outcome{d: j.d, kind: retry, after: t.cfg.RetryDelay}
}

// withoutURL takes the URL out of an error, since it may hold secrets.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// loggedURL is the URL without credentials and query, either of which may hold secrets.
func loggedURL(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// request builds the call: parameters in the query for GET, as a form for POST.
func (t *HTTP) request(ctx context.Context, j job) (*http.Request, error) {
	params := Parameters(j.dlr)
	u := *j.url
	var body io.Reader
	method := strings.ToUpper(j.dlr.Method)
	switch method {
	case http.MethodGet:
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += params.Encode()
	case http.MethodPost:
		body = strings.NewReader(params.Encode())
	default:
		return nil, fmt.Errorf("dlr-method %q is neither GET nor POST", j.dlr.Method)
	}
	u.Fragment = ""
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("dlr-url %q: %w", loggedURL(j.url), withoutURL(err))
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", t.cfg.UserAgent)
	return req, nil
}

// Parameters are what an endpoint is told: id, message_status, level and connector at level
// 1; id_smsc, subdate, donedate, sub, dlvrd, err and text besides at level 2 (HTTP API,
// "Receiving DLR").
func Parameters(d *queue.HTTPDLR) url.Values {
	v := url.Values{
		"id":             {string(d.MsgID)},
		"message_status": {d.Status},
		"level":          {strconv.Itoa(d.Level)},
		"connector":      {string(d.CID)},
	}
	if d.Level != 1 {
		v.Set("id_smsc", d.IDSMSC)
		v.Set("sub", d.Sub)
		v.Set("dlvrd", d.Dlvrd)
		v.Set("subdate", d.SubDate)
		v.Set("donedate", d.DoneDate)
		v.Set("err", d.Err)
		v.Set("text", d.Text)
	}
	return v
}
