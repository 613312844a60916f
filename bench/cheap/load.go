package main

import (
	"log"
	"sync"
	"sync/atomic"
	"time"
)

// What one turn of a caller took.
type turn struct {
	ended time.Time
	took  time.Duration
}

// Callers at work: each takes one turn after the other until they are stopped.
type load struct {
	jobs     atomic.Int64
	ranDry   atomic.Bool
	stopping atomic.Bool
	callers  sync.WaitGroup
	// Of each caller.
	turns [][]turn
}

func start(told order) *load {
	running := &load{turns: make([][]turn, told.Callers)}
	service := dial(told.Target)
	take := turns(service, told)
	for caller := range told.Callers {
		running.callers.Go(func() { running.work(caller, take) })
	}
	return running
}

func (running *load) work(caller int, take func() (int, error)) {
	for !running.stopping.Load() {
		began := time.Now()
		jobs, err := take()
		if err != nil {
			log.Fatal(err)
		}
		if jobs == 0 {
			running.ranDry.Store(true)
			return
		}
		ended := time.Now()
		running.jobs.Add(int64(jobs))
		running.turns[caller] = append(running.turns[caller], turn{ended: ended, took: ended.Sub(began)})
	}
}

// Ends with the turns that the callers are in, and tells in milliseconds how long those took that ended between the marks.
func (running *load) stop(marks []time.Time) []float64 {
	running.stopping.Store(true)
	running.callers.Wait()
	times := []float64{}
	if len(marks) < 2 {
		return times
	}
	for _, turns := range running.turns {
		for _, one := range turns {
			if one.ended.After(marks[0]) && one.ended.Before(marks[1]) {
				times = append(times, float64(one.took)/float64(time.Millisecond))
			}
		}
	}
	return times
}

// What a caller of the load does again and again; it tells how many jobs that were.
func turns(service *service, told order) func() (int, error) {
	if told.Load == "enqueue" {
		return func() (int, error) {
			_, err := service.call("/stint.v1.JobService/Enqueue", told.Enqueue)
			return 1, err
		}
	}
	// What acks have claimed, until a caller takes it: each leaves one at the most, and takes one first.
	kept := make(chan []byte, told.Callers)
	return func() (int, error) {
		token, err := take(service, told, kept)
		if token == nil || err != nil {
			return 0, err
		}
		acked, err := service.call("/stint.v1.WorkerService/Ack", withToken(told, token))
		if err != nil {
			return 0, err
		}
		if next := find(acked, told.NextTokenPath); next != nil {
			kept <- next
		}
		return 1, nil
	}
}

// The lease token of a job that was kept, or else is claimed; nil where there is none.
func take(service *service, told order, kept <-chan []byte) ([]byte, error) {
	select {
	case token := <-kept:
		return token, nil
	default:
		claimed, err := service.call("/stint.v1.WorkerService/Claim", told.Claim)
		return find(claimed, told.TokenPath), err
	}
}

func withToken(told order, token []byte) []byte {
	message := make([]byte, 0, len(told.TokenTag)+1+len(token)+len(told.Ack))
	message = append(message, told.TokenTag...)
	// A token is shorter than 128 bytes: its length is one byte.
	message = append(message, byte(len(token)))
	message = append(message, token...)
	return append(message, told.Ack...)
}
