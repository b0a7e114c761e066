package history

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// output writes one file after the other, compressed or not, and sums each up. It is used by one goroutine.
type output struct {
	encoder *zstd.Encoder // nil: no compression
	buffer  *bufio.Writer // in front of the encoder
	file    *os.File      // nil between files
	sum     hash.Hash
	bytes   int64
}

const outputBuffer = 64 << 10

func newOutput(compress string) (*output, error) {
	o := &output{}
	o.buffer = bufio.NewWriterSize(nil, outputBuffer)
	if compress != Zstd {
		return o, nil
	}
	var err error
	// With one goroutine the same text always gives the same bytes.
	o.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("compress with zstd: %w", err)
	}
	return o, nil
}

// Write is what the encoder writes to.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.file.Write(b)
	_, _ = o.sum.Write(b[:n]) // a hash never fails
	o.bytes += int64(n)
	return n, err
}

func (o *output) open(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	o.file, o.sum, o.bytes = file, sha256.New(), 0
	var under io.Writer = o
	if o.encoder != nil {
		o.encoder.Reset(o)
		under = o.encoder
	}
	o.buffer.Reset(under)
	return nil
}

func (o *output) write(b []byte) error {
	_, err := o.buffer.Write(b)
	return err
}

// finish brings the file to disk and returns its sum, without its name.
func (o *output) finish() (File, error) {
	err := o.buffer.Flush()
	if err == nil && o.encoder != nil {
		err = o.encoder.Close()
	}
	if err == nil {
		err = o.file.Sync()
	}
	err = errors.Join(err, o.file.Close())
	o.file = nil
	return File{Bytes: o.bytes, SHA256: hex.EncodeToString(o.sum.Sum(nil))}, err
}

// abandon closes a file that did not get to its end.
func (o *output) abandon() {
	if o.file != nil {
		_ = o.file.Close() // nobody will read it
		o.file = nil
	}
}
