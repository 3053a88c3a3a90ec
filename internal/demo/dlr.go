package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// dlrReceiver is an application's dlr-url: it acknowledges every DLR and hands it on.
type dlrReceiver struct {
	url    string
	server *http.Server
	got    chan url.Values
	done   chan struct{}
}

func listenForDLRs() (*dlrReceiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &dlrReceiver{url: "http://" + l.Addr().String() + "/dlr", got: make(chan url.Values, 16), done: make(chan struct{})}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: stepLimit}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(l) // ends by Close
	}()
	return r, nil
}

// ServeHTTP acknowledges a DLR. A repeat is possible, and more than fit are left unacknowledged.
func (r *dlrReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if err := req.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case r.got <- req.Form:
		io.WriteString(w, "ACK/Jasmin") //nolint:errcheck // the thrower tries again
	default:
		http.Error(w, "too many at a time", http.StatusServiceUnavailable)
	}
}

func (r *dlrReceiver) next(ctx context.Context) (url.Values, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("nothing came within %v", stepLimit))
	defer cancel()
	select {
	case v := <-r.got:
		return v, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends the receiver.
func (r *dlrReceiver) Close() error {
	err := r.server.Close()
	<-r.done
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
