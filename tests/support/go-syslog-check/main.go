// Reads RFC 5424 messages in octet-counted frames (RFC 6587 3.4.1) from standard input with Debian's go-syslog and prints
// one JSON object per message. An independent opinion on the bridge's header and framing.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o go-syslog-check ./tests/support/go-syslog-check
//
// Exit status 1, with the reason on standard error, at the first message that it does not take.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	syslog "github.com/influxdata/go-syslog"
	"github.com/influxdata/go-syslog/octetcounting"
	"github.com/influxdata/go-syslog/rfc5424"
)

type parsed struct {
	Priority  *uint8                        `json:"pri"`
	Version   uint16                        `json:"version"`
	Timestamp *time.Time                    `json:"ts"`
	Hostname  *string                       `json:"host"`
	Appname   *string                       `json:"app"`
	ProcID    *string                       `json:"pid"`
	MsgID     *string                       `json:"id"`
	Data      *map[string]map[string]string `json:"sd"`
	Message   *string                       `json:"msg"`
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	count, failed := 0, false
	listener := func(r *syslog.Result) {
		if failed {
			return
		}
		if r.Error != nil {
			fmt.Fprintf(os.Stderr, "message %d: %v\n", count, r.Error)
			failed = true
			return
		}
		count++
		m := r.Message.(*rfc5424.SyslogMessage)
		encoder.Encode(parsed{m.Priority(), m.Version(), m.Timestamp(), m.Hostname(), m.Appname(), m.ProcID(), m.MsgID(),
			m.StructuredData(), m.Message()})
	}
	// The parser peeks a whole message, so its reader's buffer bounds the size.
	octetcounting.NewParser(syslog.WithListener(listener)).Parse(bufio.NewReaderSize(os.Stdin, 1<<20))
	out.Flush()
	if failed {
		os.Exit(1)
	}
}
