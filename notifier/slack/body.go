package slack

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// mostBody is how long a request may be, in bytes. Slack sends the message with the click: a question of ours has some 12,000
	// characters at most, and each may get 16 bytes, in JSON without other letters than ASCII's, in a form.
	mostBody = 256 << 10
	// bodyPiece is what is read of a request at a time, in bytes. Most clicks are one.
	bodyPiece = 16 << 10
	// mostPieces are held at a time, of all requests that are not checked yet: some 16 MiB. Whoever sent them, they take memory until then.
	mostPieces = 1024
	// roomPatience is how long a request waits for room, each time: Slack waits three seconds in all.
	roomPatience = time.Second
)

var errNoRoom = errors.New("reading a request: too much is read already")

// readBody reads a body piece by piece, as there is room: what comes slowly takes little more than has come, and what doesn't come
// nothing, so that it keeps nobody else from being read. Release gives the room back.
func (a *App) readBody(from io.Reader) (body []byte, release func(), err error) {
	held := 0
	release = func() {
		for range held {
			<-a.pieces
		}
	}
	var first [1]byte
	if _, err := io.ReadFull(from, first[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil // It is empty.
		}
		return nil, release, err
	}
	from = io.MultiReader(bytes.NewReader(first[:]), from)
	for {
		if len(body) == held*bodyPiece {
			select {
			case a.pieces <- struct{}{}:
				held++
			case <-a.o.Clock.After(roomPatience):
				return nil, release, errNoRoom
			}
			body = slices.Grow(body, bodyPiece)
		}
		n, err := from.Read(body[len(body) : held*bodyPiece])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, release, nil
		case err != nil:
			return nil, release, err
		}
	}
}
