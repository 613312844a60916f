package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
)

// hashFile computes the SHA-256 of a file, read piece by piece. Once ctx is done it ends at the next piece with its cause.
func hashFile(ctx context.Context, path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, stoppableReader{ctx, file}); err != nil {
		return nil, err
	}
	return digest.Sum(nil), nil
}

type stoppableReader struct {
	ctx    context.Context
	reader io.Reader
}

func (r stoppableReader) Read(piece []byte) (int, error) {
	n, err := r.reader.Read(piece)
	if cause := context.Cause(r.ctx); cause != nil {
		return 0, cause
	}
	return n, err
}
