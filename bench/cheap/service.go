package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
)

// Each gRPC message is preceded by a byte that says whether it is compressed, and four with its length.
const prefixBytes = 5

// A service that is called over one connection.
type service struct {
	base   string
	client http.Client
	header http.Header
}

func dial(target string) *service {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &service{
		base:   "http://" + target,
		client: http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}},
		header: http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}},
	}
}

// A unary call: the message in, the message out.
func (service *service) call(method string, message []byte) ([]byte, error) {
	framed := make([]byte, prefixBytes, prefixBytes+len(message))
	binary.BigEndian.PutUint32(framed[1:], uint32(len(message)))
	request, err := http.NewRequest(http.MethodPost, service.base+method, bytes.NewReader(append(framed, message...)))
	if err != nil {
		return nil, err
	}
	request.Header = service.header
	response, err := service.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if status := statusOf(response); status != "0" || len(body) < prefixBytes {
		return nil, fmt.Errorf("%s was refused: status %q", method, status)
	}
	return body[prefixBytes:], nil
}

// An answer without a message has its status in the header.
func statusOf(response *http.Response) string {
	if status := response.Trailer.Get("Grpc-Status"); status != "" {
		return status
	}
	return response.Header.Get("Grpc-Status")
}

// The first value at a path of fields of a protobuf message, all of which have a length; nil where there is none.
func find(message []byte, path []uint64) []byte {
	if len(path) == 0 {
		return message
	}
	for len(message) > 0 {
		tag, read := binary.Uvarint(message)
		if read <= 0 {
			return nil
		}
		message = message[read:]
		value, rest := next(message, tag&7)
		if tag>>3 == path[0] {
			return find(value, path[1:])
		}
		message = rest
	}
	return nil
}

// What a field of this wire type holds, and what follows it; nothing follows what is not understood.
func next(message []byte, wireType uint64) (value, rest []byte) {
	switch wireType {
	case 0:
		_, read := binary.Uvarint(message)
		return nil, message[max(read, 0):]
	case 1:
		return nil, message[min(8, len(message)):]
	case 2:
		length, read := binary.Uvarint(message)
		if read <= 0 || uint64(len(message)-read) < length {
			return nil, nil
		}
		end := read + int(length)
		return message[read:end], message[end:]
	case 5:
		return nil, message[min(4, len(message)):]
	}
	return nil, nil
}
