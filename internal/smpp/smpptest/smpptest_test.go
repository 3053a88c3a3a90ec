package smpptest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPipe(t *testing.T) {
	t.Run("buffers, then blocks until it is read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := smpptest.PipeSize(4)
			wrote := make(chan int, 1)
			go func() {
				n, err := a.Write([]byte("abcdef"))
				if err != nil {
					t.Error(err)
				}
				wrote <- n
			}()
			synctest.Wait()
			select {
			case <-wrote:
				t.Fatal("six octets went into a buffer of four")
			default:
			}
			got := make([]byte, 6)
			if _, err := io.ReadFull(b, got); err != nil || string(got) != "abcdef" {
				t.Errorf("got %q %v", got, err)
			}
			if n := <-wrote; n != 6 {
				t.Errorf("Write returned %d, want 6", n)
			}
		})
	})
	t.Run("what was written before the close can still be read", func(t *testing.T) {
		a, b := smpptest.Pipe()
		if _, err := a.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		a.Close() //nolint:errcheck // never fails
		got, err := io.ReadAll(b)
		if string(got) != "bye" || err != nil {
			t.Errorf("got %q %v", got, err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write to a closed peer: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	})
	t.Run("deadlines end waits at their time and can be moved", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := smpptest.PipeSize(1)
			defer a.Close()
			defer b.Close()
			start := time.Now()
			a.SetDeadline(start.Add(3 * time.Second)) //nolint:errcheck // never fails
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %v", err)
			}
			if _, err := a.Write([]byte("xy")); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write: %v", err)
			}
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("took %s, want 3s", d)
			}
			a.SetReadDeadline(time.Now().Add(time.Second))               //nolint:errcheck // never fails
			a.SetReadDeadline(time.Time{})                               //nolint:errcheck // never fails
			time.AfterFunc(time.Minute, func() { b.Write([]byte("z")) }) //nolint:errcheck // seen by the read
			if n, err := a.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("Read without deadline: %d %v", n, err)
			}
		})
	})
}

func TestSMSCAndPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		smsc := smpptest.NewSMSC(t)
		smsc.Account = func(b *pdu.Bind) pdu.Status {
			if b.Password != "bar" {
				return pdu.StatusInvPaswd
			}
			return pdu.StatusOK
		}
		p := smpptest.NewPeer(t, smsc.Connect())
		seq := p.Send(&pdu.Bind{SystemID: "foo"})
		p.ExpectHeader(pdu.CmdBindTransceiverResp, pdu.StatusInvPaswd, seq)
		if _, err := smsc.Deliver(&pdu.DeliverSM{}); err == nil {
			t.Error("delivered without a bound session")
		}
		p.Bind(pdu.Bind{SystemID: "foo", Password: "bar"})
		if smsc.Bound() != 1 {
			t.Errorf("Bound = %d, want 1", smsc.Bound())
		}
		p.Send(&pdu.SubmitSM{})
		p.Send(&pdu.SubmitSM{})
		for _, want := range []string{"1", "2"} {
			if _, resp := smpptest.Expect[*pdu.SubmitSMResp](p); resp.MessageID != want {
				t.Errorf("message_id %s, want %s", resp.MessageID, want)
			}
		}
		if n := len(smsc.Await(2)); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
		if _, err := smsc.Deliver(&pdu.DeliverSM{}); err != nil {
			t.Fatal(err)
		}
		h, _ := smpptest.Expect[*pdu.DeliverSM](p)
		p.Reply(h, pdu.StatusOK, &pdu.DeliverSMResp{})
		smsc.AwaitAnswers(1)
		p.ExpectSilence(time.Hour)
		smsc.Drop()
		p.ExpectClosed()
	})
}
