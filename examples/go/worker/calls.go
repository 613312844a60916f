package main

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// A call without a deadline could wait for ever.
	callLimit    = 10 * time.Second
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// isPassing tells whether the same call may well succeed in a moment.
func isPassing(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded:
		return true
	default:
		return false
	}
}

// untilAnswered makes a call, and the very same one again while the service is away or full and goesOn is not done. Each try
// may take as long as limit says; goesOn does not cut it short.
//
// Only for calls that are safe to repeat: reads, and mutations with a key, an id, a token or a request_id.
func untilAnswered[Response any](
	goesOn context.Context,
	limit time.Duration,
	call func(context.Context) (Response, error),
) (Response, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(goesOn), limit)
		response, err := call(ctx)
		cancel()
		if err == nil || !isPassing(err) {
			return response, err
		}
		select {
		case <-goesOn.Done():
			return response, err
		// At random, so that workers that met the same restart do not come back together.
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}
