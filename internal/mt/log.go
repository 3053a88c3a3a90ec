package mt

import (
	"log/slog"
	"strconv"

	"jasmind/internal/logging"
)

// dlrTexts are the names of levels of receipts in the log, by level.
var dlrTexts = [...]string{"No", "SMS-C", "Terminal", "All"}

// LogAccepted writes the line of an accepted message into the log of the door that it came in by (Jasmin: operators parse
// this line; TestLineOfAnAcceptedMessage).
func LogAccepted(log *slog.Logger, m *Message, acc Accepted, text logging.Content) {
	if !text.Privacy {
		text.Text = logging.Printable(text.Text)
	}
	//nolint:sloglint // the line is the message
	log.Info("SMS-MT [uid:" + string(m.UID) + "] [cid:" + string(acc.CID) + "] [msgid:" + string(acc.ID) + "] [prio:" +
		strconv.Itoa(int(m.PDU.PriorityFlag)) + "] [dlr:" + dlrTexts[m.Report.What.Level()] + "] [from:" + logging.Printable(m.PDU.Source.Addr) + "] [to:" +
		logging.Printable(m.PDU.Dest.Addr) + "] [content:" + text.String() + "]")
}
