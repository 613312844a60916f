package main

import (
	"bytes"
	"testing"
)

// A ClaimResponse with one job, whose payload comes before its lease and whose lease begins with its attempt.
var claimed = []byte{0x0a, 0x0e, 0x12, 0x03, 'a', 'b', 'c', 0x1a, 0x07, 0x10, 0x01, 0x0a, 0x03, 't', 'o', 'k', 0x10, 0x01}

func TestFindsALeaseTokenBehindOtherFields(t *testing.T) {
	if token := find(claimed, []uint64{1, 3, 1}); string(token) != "tok" {
		t.Fatalf("found %q", token)
	}
}

func TestFindsNothingWhereThereIsNoJob(t *testing.T) {
	if token := find([]byte{0x10, 0x02}, []uint64{1, 3, 1}); token != nil {
		t.Fatalf("found %q", token)
	}
}

func TestFindsNothingInWhatIsCutShort(t *testing.T) {
	for length := range claimed[:15] {
		if token := find(claimed[:length], []uint64{1, 3, 1}); token != nil {
			t.Fatalf("found %q in %d bytes", token, length)
		}
	}
}

func TestPutsTheTokenBeforeTheRestOfAnAck(t *testing.T) {
	told := order{TokenTag: []byte{0x0a}, Ack: []byte{0x12, 0x01, 'r'}}
	if message := withToken(told, []byte("tok")); !bytes.Equal(message, []byte{0x0a, 0x03, 't', 'o', 'k', 0x12, 0x01, 'r'}) {
		t.Fatalf("got %v", message)
	}
}
