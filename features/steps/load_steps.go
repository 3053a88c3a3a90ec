package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

// load is clients that send at the same time, each over a connection that it keeps.
type load struct {
	gateway  *underTest
	smscs    *smscs
	pages    *pages
	messages *messages

	clients int
	answers record[answer]
	dials   atomic.Int64  // connections opened
	quit    chan struct{} // nil: they have not begun
	once    sync.Once
	wg      sync.WaitGroup
}

// stop has the clients end and waits for their last answers.
func (l *load) stop() {
	if l.quit != nil {
		l.once.Do(func() { close(l.quit) })
	}
	l.wg.Wait()
}

// accepted are the answers that were a Success.
func (l *load) accepted() []answer {
	return slices.DeleteFunc(l.answers.all(), func(a answer) bool { return a.id == "" })
}

// run starts the clients, each of which sends that many messages, or until stop if that is 0.
func (l *load) run(address string, each int, params url.Values) {
	for i := range l.clients {
		l.wg.Go(func() {
			c := newClient()
			defer c.close()
			c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				l.dials.Add(1)
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
			for n := 0; each == 0 || n < each; n++ {
				select {
				case <-l.quit:
					return
				default:
				}
				p := maps.Clone(params)
				p.Set("content", fmt.Sprintf("client %d message %d", i, n))
				// By GET net/http itself would send again what a connection lost after its acceptance.
				a := c.send(address, "POST", p)
				l.answers.add(a)
				if a.err != nil { // nobody is there: he does not ask as fast as he can
					t := time.NewTimer(10 * time.Millisecond)
					select {
					case <-t.C:
					case <-l.quit:
						t.Stop()
					}
				}
			}
		})
	}
}

// begin has clients send.
func (l *load) begin(clients, each int, params url.Values) error {
	if l.quit != nil {
		return errors.New("there is a load already")
	}
	if err := l.gateway.running(); err != nil {
		return err
	}
	for k, v := range map[string]string{"username": "foo", "password": "bar", "to": "06222172"} {
		if !params.Has(k) {
			params.Set(k, v)
		}
	}
	l.clients, l.quit = clients, make(chan struct{})
	l.run(l.gateway.run.http(), each, params)
	return nil
}

func (l *load) steps(sc *godog.ScenarioContext) {
	sc.Step(`^(\d+) clients send (\d+) messages each$`, func(clients, each int) error {
		if err := l.begin(clients, each, url.Values{}); err != nil {
			return err
		}
		l.wg.Wait()
		return nil
	})
	sc.Step(`^(\d+) clients send (\d+) messages each and ask for DLRs$`, func(clients, each int) error {
		if err := l.begin(clients, each, l.reports()); err != nil {
			return err
		}
		l.wg.Wait()
		return nil
	})
	sc.Step(`^(\d+) clients begin to send (\d+) messages each$`, func(clients, each int) error {
		return l.begin(clients, each, url.Values{})
	})
	sc.Step(`^(\d+) clients keep sending$`, func(clients int) error { return l.begin(clients, 0, url.Values{}) })
	sc.Step(`^(\d+) clients keep sending and ask for DLRs of level 3$`, func(clients int) error {
		return l.begin(clients, 0, l.reports())
	})
	sc.Step(`^the clients have sent all$`, func() error {
		l.wg.Wait()
		return nil
	})
	sc.Step(`^the clients stop$`, func() error {
		l.stop()
		return nil
	})
	sc.Step(`^(\d+) messages are accepted$`, func(n int) error { return l.awaitAccepted(n) })
	sc.Step(`^(\d+) more messages are accepted$`, func(n int) error { return l.awaitAccepted(len(l.accepted()) + n) })
	sc.Step(`^a client is answered (\d+)$`, func(status int) error {
		return l.answers.wait(fmt.Sprintf("an answer %d", status), func(list []answer) bool {
			return slices.ContainsFunc(list, func(a answer) bool { return a.status == status })
		})
	})
	sc.Step(`^every answer was a Success$`, func() error {
		return l.all(func(a answer) bool { return a.id != "" })
	})
	sc.Step(`^every answer was 503$`, func() error { return l.all(unavailable) })
	sc.Step(`^every answer was a Success or 503$`, func() error {
		return l.all(func(a answer) bool { return a.id != "" || unavailable(a) })
	})
	sc.Step(`^the page is told of both levels for every accepted message$`, func() error { return l.toldOfAll("1", "2") })
	sc.Step(`^every id was given once$`, func() error {
		seen := make(map[string]bool)
		for _, a := range l.accepted() {
			if seen[a.id] {
				return fmt.Errorf("%s was given twice", a.id)
			}
			seen[a.id] = true
		}
		return nil
	})
	sc.Step(`^every client used one connection$`, func() error {
		if n := l.dials.Load(); n != int64(l.clients) {
			return fmt.Errorf("%d clients opened %d connections", l.clients, n)
		}
		return nil
	})
	sc.Step(theSMSC+`gets every accepted message(?: (once)|, at most (\d+) of them twice)?$`, func(name, once, twice string) error {
		s, err := l.smscs.which(name)
		if err != nil {
			return err
		}
		most := -1
		switch {
		case once != "":
			most = 0
		case twice != "":
			most = number(twice)
		}
		return l.arrived(s, most)
	})
	sc.Step(theSMSC+`has (\d+) messages of the load$`, func(name string, n int) error {
		sim, err := l.smscs.simulator(name)
		if err != nil {
			return err
		}
		ctx, cancel := deadline()
		defer cancel()
		_, err = sim.Wait(ctx, n, smscsim.Filter{})
		return err
	})
}

// reports asks for DLRs of level 3 at the page.
func (l *load) reports() url.Values {
	return url.Values{"dlr-url": {l.pages.url(dlrPath)}, "dlr-level": {"3"}}
}

func unavailable(a answer) bool {
	return a.status == http.StatusServiceUnavailable && strings.HasPrefix(a.body, `Error "`)
}

func (l *load) awaitAccepted(n int) error {
	return l.answers.wait(fmt.Sprintf("%d accepted messages", n), func(list []answer) bool {
		accepted := 0
		for _, a := range list {
			if a.id != "" {
				accepted++
			}
		}
		return accepted >= n
	})
}

func (l *load) all(right func(answer) bool) error {
	list := l.answers.all()
	if len(list) == 0 {
		return errors.New("there was no answer, so that nothing is shown")
	}
	for _, a := range list {
		if !right(a) {
			return fmt.Errorf("%s was answered %s", a.content, a)
		}
	}
	return nil
}

// arrived waits until the SMSC has accepted every message that the gateway has. most
// bounds how many came once more than that, unless it is negative.
func (l *load) arrived(s *smsc, most int) error {
	want := make(map[string]bool)
	for _, a := range l.accepted() {
		want[a.content] = true
	}
	if len(want) == 0 {
		return errors.New("no message was accepted, so that nothing is shown")
	}
	if most >= 0 { // what comes again comes before a message that is sent now
		a, err := l.messages.mark("0999")
		if err != nil {
			return err
		}
		want[a.content] = true
	}
	var missing []string
	err := until(fmt.Sprintf("%d messages at the SMSC", len(want)), func() bool {
		if n := s.count(); n < len(want) {
			missing = []string{fmt.Sprintf("%d of them", len(want)-n)}
			return false
		}
		there := make(map[string]bool)
		for _, m := range s.all() {
			there[m.Text] = there[m.Text] || m.Status == "ESME_ROK"
		}
		missing = missing[:0]
		for content := range want {
			if !there[content] {
				missing = append(missing, content)
			}
		}
		return len(missing) == 0
	})
	if err != nil {
		slices.Sort(missing)
		return fmt.Errorf("%w; missing: %q", err, missing[:min(len(missing), 10)])
	}
	if most < 0 {
		return nil
	}
	copies := make(map[string]int)
	extra := 0
	for _, m := range s.all() {
		if m.Status != "ESME_ROK" {
			continue
		}
		if copies[m.Text]++; copies[m.Text] > 1 {
			extra++
		}
	}
	if extra > most {
		return fmt.Errorf("%d messages came more often than once, at most %d may", extra, most)
	}
	return nil
}

// inOrder waits for the messages of a load, and compares the order in which the SMSC took them.
func (l *load) inOrder() error {
	s, err := l.smscs.which("")
	if err != nil {
		return err
	}
	if err := l.arrived(s, 0); err != nil {
		return err
	}
	var want, got []string
	for _, a := range l.accepted() {
		want = append(want, a.content)
	}
	for _, m := range s.all() {
		if m.Status == "ESME_ROK" && slices.Contains(want, m.Text) {
			got = append(got, m.Text)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("it took %q, accepted were %q", got, want)
	}
	return nil
}

// toldOfAll waits until the page was told of every accepted message of the load, at each level.
func (l *load) toldOfAll(levels ...string) error {
	ids := make(map[string]bool)
	for _, a := range l.accepted() {
		ids[a.id] = true
	}
	if len(ids) == 0 {
		return fmt.Errorf("no message was accepted")
	}
	var missing []string
	err := l.pages.at(dlrPath).calls.wait("DLRs of all accepted messages", func(calls []call) bool {
		told := make(map[string]bool)
		for _, c := range calls {
			if c.acked && ids[c.params.Get("id")] {
				told[c.params.Get("id")+" "+c.params.Get("level")] = true
			}
		}
		missing = missing[:0]
		for id := range ids {
			for _, level := range levels {
				if !told[id+" "+level] {
					missing = append(missing, "level "+level+" of "+id)
				}
			}
		}
		return len(missing) == 0
	})
	if err != nil {
		slices.Sort(missing)
		return fmt.Errorf("%w; %d DLRs of %d messages are missing: %v", err, len(missing), len(ids), missing[:min(len(missing), 10)])
	}
	return nil
}
