// Package loadgen puts load on an SMS gateway or an SMSC, over the HTTP API (/send) or over SMPP
// v3.4, and tells what became of every message: accepted, refused and why, how long it took,
// whether its delivery reports came, and, against smsc-sim, whether it arrived, was lost or
// came twice.
//
// It shares the protocol packages with the gateway and nothing else, so that it does not make the
// gateway's mistakes; the engine go-smpp does not even share these.
//
//	report, err := loadgen.Run(ctx, loadgen.Config{
//		Protocol: loadgen.HTTP, URL: "http://127.0.0.1:1401/send", Username: "foo", Password: "bar",
//		To: "06222172", Connections: 10, Count: 20000, SMSC: "http://127.0.0.1:8776",
//	})
//
// Each text starts with the tag #RUN:NUMBER#, numbers from 1, by which smsc-sim counts. With a
// rate, latency is measured from the time at which a message was due, so that a stall of the
// gateway is seen by every message that it held up. Memory is a few bits per message, and some 30
// octets when delivery reports are counted.
package loadgen
