package throw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"jasmind/internal/queue"
)

// kind is what a thrower to URLs throws.
type kind struct {
	name  string // in logs
	queue queue.Name
	agent string
	// param names the URL and method in errors.
	param  string
	decode func(*queue.Delivery) (call, error)
}

// call is a message that is to be thrown to a URL.
type call struct {
	url, method string
	user        string // whose call it is; "": nobody knows
	params      func() url.Values
	// targets is how many URLs take turns, one for each failed call; a round is over when
	// each had its turn.
	targets int
	line    func(u string) string // of the log, when it was acknowledged
	attrs   []any                 // of the log, when it was not
}

// dlrs are DLRs: dlr_thrower.http.
var dlrs = kind{name: "DLR", queue: queue.DLRThrowerHTTP, agent: "Jasmin gateway/1.0 DLRThrower", param: "dlr-", decode: func(d *queue.Delivery) (call, error) {
	dlr, err := queue.DecodeHTTPDLR(&d.Message)
	if err != nil {
		return call{}, err
	}
	return call{url: dlr.URL, method: dlr.Method, user: string(dlr.UID), targets: 1, params: func() url.Values { return Parameters(dlr) },
		line: func(u string) string {
			return "DLR-HTTP [msgid:" + string(dlr.MsgID) + "] [status:" + dlr.Status + "] [level:" + strconv.Itoa(dlr.Level) + "] [url:" + u + "]"
		},
		attrs: []any{"msgid", string(dlr.MsgID), "status", dlr.Status, "level", dlr.Level}}, nil
}}

// mos are MOs: deliver_sm_thrower.http. Behind a failover route the next target has its turn when one
// did not acknowledge, at once, and the round begins again after the delay of retries.
var mos = kind{name: "MO", queue: queue.DeliverSMHTTP, agent: "Jasmin gateway/1.0 deliverSmHttpThrower", decode: func(d *queue.Delivery) (call, error) {
	mo, err := queue.DecodeMOCall(&d.Message)
	if err != nil {
		return call{}, err
	}
	n := len(mo.Targets)
	turn := int(max(d.Headers.Int(queue.HeaderThrows), 0) % int64(n))
	to := mo.Targets[turn]
	return call{url: to.URL, method: to.Method, user: string(to.CID), targets: n,
		params: func() url.Values {
			v := make(url.Values)
			for _, p := range mo.Parameters() {
				v.Set(p.Name, p.Value)
			}
			return v
		},
		line: func(u string) string {
			route := "simple"
			if n > 1 {
				route = "failover"
			}
			return "MO-HTTP [msgid:" + string(mo.MsgID) + "] [cid:" + string(mo.CID) + "] [dst-cid:" + string(to.CID) + "] [route:" + route + " " +
				strconv.Itoa(turn+1) + "/" + strconv.Itoa(n) + "] [url:" + u + "]"
		},
		attrs: []any{"msgid", string(mo.MsgID), "cid", string(mo.CID), "dst_cid", string(to.CID)}}, nil
}}

// job is a call whose host is known.
type job struct {
	call
	d      *queue.Delivery
	parsed *url.URL
	host   string
	hold   *held
}

func (t *HTTP) newJob(d *queue.Delivery) (job, error) {
	c, err := t.kind.decode(d)
	if err != nil {
		return job{}, err
	}
	u, err := url.Parse(c.url)
	if err != nil {
		return job{}, fmt.Errorf("%surl: %w", t.kind.param, withoutURL(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return job{}, fmt.Errorf("%surl %q is no http or https URL", t.kind.param, loggedURL(u))
	}
	return job{call: c, d: d, parsed: u, host: hostOf(u)}, nil
}

// answerMax is how much of an answer is read: the acknowledgement is ten characters.
const answerMax = 4 << 10

// Acknowledgement is the body by which an endpoint acknowledges, white space around it allowed.
const Acknowledgement = "ACK/Jasmin"

// call calls the endpoint once.
func (t *HTTP) call(ctx context.Context, j job) outcome {
	if err := t.cfg.Reach.url(j.parsed); err != nil {
		t.Metrics.Refused.Add(1)
		return t.failed(ctx, j, err, j.targets == 1)
	}
	req, err := t.request(ctx, j)
	if err != nil {
		return outcome{d: j.d, kind: dead, cause: queue.CauseUndecodable, why: err.Error()}
	}
	resp, err := t.client.Do(req)
	if refused := (*refusedError)(nil); errors.As(err, &refused) {
		t.Metrics.Refused.Add(1)
		return t.failed(ctx, j, refused, j.targets == 1)
	}
	if err != nil {
		return t.failed(ctx, j, withoutURL(err), false)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	switch {
	case err != nil:
		return t.failed(ctx, j, fmt.Errorf("read answer: %w", err), false)
	case resp.StatusCode == http.StatusNotFound:
		return t.failed(ctx, j, errors.New("HTTP 404, which is final"), j.targets == 1)
	case resp.StatusCode >= 400:
		return t.failed(ctx, j, fmt.Errorf("HTTP %d", resp.StatusCode), false)
	case !bytes.Equal(bytes.TrimSpace(body), []byte(Acknowledgement)):
		return t.failed(ctx, j, fmt.Errorf("HTTP %d, but the body is %.40q instead of %s", resp.StatusCode, body, Acknowledgement), false)
	}
	t.log.Info(j.line(loggedURL(j.parsed))) //nolint:sloglint // Jasmin: operators parse this line
	return outcome{d: j.d, kind: delivered}
}

// failed says what follows from a call that was not acknowledged.
func (t *HTTP) failed(ctx context.Context, j job, err error, final bool) outcome {
	if ctx.Err() != nil {
		return outcome{d: j.d, kind: retry}
	}
	t.Metrics.Failed.Add(1)
	throws := int(j.d.Headers.Int(queue.HeaderThrows)) + 1
	if final || throws >= (t.cfg.MaxRetries+1)*j.targets {
		cause := queue.CauseRetries
		if final {
			cause = queue.CauseRefused
		}
		return outcome{d: j.d, kind: dead, cause: cause, why: fmt.Sprintf("try %d of %s: %v", throws, loggedURL(j.parsed), err)}
	}
	after := t.cfg.RetryDelay
	if throws%j.targets != 0 {
		after = 0 // another one has not had its turn
	}
	t.log.Warn(t.kind.name+" was not acknowledged, will be retried", //nolint:sloglint // one of two names of ours
		append(j.attrs, "url", loggedURL(j.parsed), "try", throws, "in", after, "err", err)...)
	return outcome{d: j.d, kind: retry, after: after}
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
	u := *j.parsed
	var body io.Reader
	method := strings.ToUpper(j.method)
	switch method {
	case http.MethodGet:
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += j.params().Encode()
	case http.MethodPost:
		body = strings.NewReader(j.params().Encode())
	default:
		return nil, fmt.Errorf("%smethod %q is neither GET nor POST", t.kind.param, j.method)
	}
	u.Fragment = ""
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%surl %q: %w", t.kind.param, loggedURL(j.parsed), withoutURL(err))
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", t.cfg.UserAgent)
	return req, nil
}

// Parameters are what an endpoint is told of a DLR: id, message_status, level and connector at level
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
