// A client that costs little: gRPC over the HTTP/2 of Go's own library, with messages that were made before. It knows
// nothing of the contract but where a lease token stands in the answer to a claim.
//
// It is told on standard input what to do, a JSON line first, then "mark" twice and "stop"; each is answered by a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"
)

// What the load is. Byte strings are base64 in JSON.
type order struct {
	// host:port of a service.
	Target  string `json:"target"`
	Load    string `json:"load"`
	Callers int    `json:"callers"`
	// Messages as they are sent.
	Enqueue []byte `json:"enqueue"`
	Claim   []byte `json:"claim"`
	// An Ack without its lease token, which has this tag.
	Ack      []byte `json:"ack"`
	TokenTag []byte `json:"tokenTag"`
	// The fields that lead to a lease token in the answer to a claim.
	TokenPath []uint64 `json:"tokenPath"`
	// The fields that lead to one in the answer to an ack that asks for the next job.
	NextTokenPath []uint64 `json:"nextTokenPath"`
}

type mark struct {
	Jobs   int64 `json:"jobs"`
	RanDry bool  `json:"ranDry"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("cheap client: ")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	var running *load
	var marks []time.Time
	for lines.Scan() {
		switch line := lines.Text(); line {
		case "mark":
			marks = append(marks, time.Now())
			answer(mark{Jobs: running.jobs.Load(), RanDry: running.ranDry.Load()})
		case "stop":
			answer(running.stop(marks))
		default:
			var told order
			if err := json.Unmarshal([]byte(line), &told); err != nil {
				log.Fatalf("not an order: %v", err)
			}
			running = start(told)
			answer("started")
		}
	}
}

func answer(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}
