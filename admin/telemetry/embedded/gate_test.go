package embedded

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// gatedChunk is a chunk that is being written until it is released.
type gatedChunk struct {
	chunkenc.Chunk
	writing, release chan struct{}
}

func (c *gatedChunk) Bytes() []byte {
	select {
	case c.writing <- struct{}{}: // there is room for one: nobody has to wait for it yet
		<-c.release
	default:
	}
	return c.Chunk.Bytes()
}

// Why there is a gate: a chunk that is written while a compaction clears the files away. When this fails with a
// newer version of the TSDB, the gate may be needless.
func TestTheTSDBLosesItsPlaceWhenItsFirstChunkMeetsACompaction(t *testing.T) {
	for _, was := range []struct {
		name   string
		begun  bool
		broken bool
	}{{"no file was begun yet", false, true}, {"a file was begun before", true, false}} {
		t.Run(was.name, func(t *testing.T) {
			mapper, err := chunks.NewChunkDiskMapper(nil, t.TempDir(), nil, chunks.DefaultWriteBufferSize, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := mapper.Close(); err != nil {
					t.Error(err)
				}
			}()
			write := func(chunk chunkenc.Chunk) chunks.ChunkDiskMapperRef {
				return mapper.WriteChunk(1, 0, 1, chunk, false, func(err error) {
					if err != nil {
						t.Errorf("write: %v", err)
					}
				})
			}
			if was.begun {
				write(chunkenc.NewXORChunk())
			}
			first := &gatedChunk{chunkenc.NewXORChunk(), make(chan struct{}, 1), make(chan struct{})}
			written, truncated := make(chan struct{}), make(chan error, 1)
			go func() { write(first); close(written) }()
			<-first.writing
			go func() { truncated <- mapper.Truncate(1000) }()
			await(t, "the compaction waits for its turn", func() bool {
				select {
				case err := <-truncated: // it has nothing to wait for
					truncated <- err
					return true
				default:
					return waits("(*ChunkDiskMapper).Truncate(")
				}
			})
			close(first.release)
			<-written
			if err := <-truncated; err != nil {
				t.Fatal(err)
			}
			_, err = mapper.Chunk(write(chunkenc.NewXORChunk()))
			if broken := err != nil; broken != was.broken {
				t.Errorf("the next chunk cannot be read: %v, want %v (%v)", broken, was.broken, err)
			}
		})
	}
}

// waits reports whether a goroutine waits for a mutex in the function of that name.
func waits(function string) bool {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		state, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(state, "Mutex.Lock") && strings.Contains(stack, function) {
			return true
		}
	}
	return false
}

func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !true(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// headFiles returns how many files of head chunks a store has.
func headFiles(t *testing.T, s *opened) int {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(s.cfg.Dir, "chunks_head"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestCompactionBeginsWithTheFirstFileOfHeadChunks(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	// More hours than the head keeps, and no series that has filled a chunk.
	for i := range 10 {
		mustAppend(t, s, reading("K-1", time.Duration(i)*5*time.Minute, float64(i)))
	}
	mustAppend(t, s, reading("K-2", 17*time.Hour, 0))
	if s.tryGate() {
		t.Fatal("the gate opens, and no file was begun")
	}
	mustAppend(t, s, reading("K-2", 17*time.Hour+time.Minute, 0)) // after its end, the TSDB would compact
	if blocks, files := len(s.db.Blocks()), headFiles(t, s); blocks != 0 || files != 0 {
		t.Fatalf("there are %d blocks and %d files of head chunks, want none", blocks, files)
	}
	for i := range 40 { // late ones fill a chunk
		mustAppend(t, s, reading("K-1", time.Duration(i)*time.Minute+time.Second, 1))
	}
	if headFiles(t, s) == 0 {
		t.Fatal("late readings began no file: the test proves nothing")
	}
	// From here on no reading comes: the store sees to it by itself.
	await(t, "a block", func() bool { return len(s.db.Blocks()) > 0 })
}

func TestTheGateKnowsTheFilesOfThisRun(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name   string
		before []string
		then   func(t *testing.T, dir string)
		begun  bool
	}{
		{"nothing there", nil, func(*testing.T, string) {}, false},
		{"the first file", nil, func(t *testing.T, dir string) { touch(t, dir, "000001", time.Now()) }, true},
		{"files of an earlier run", []string{"000001", "000002"}, func(*testing.T, string) {}, false},
		{"one of them is removed", []string{"000001", "000002"}, func(t *testing.T, dir string) { remove(t, dir, "000001") }, false},
		{"all are removed", []string{"000001"}, func(t *testing.T, dir string) { remove(t, dir, "000001") }, false},
		{"one after them", []string{"000001"}, func(t *testing.T, dir string) { touch(t, dir, "000002", time.Now()) }, true},
		{"a number given again", []string{"000001"}, func(t *testing.T, dir string) {
			remove(t, dir, "000001")
			touch(t, dir, "000001", time.Now())
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "chunks_head"), 0o750); err != nil {
				t.Fatal(err)
			}
			for _, name := range c.before {
				touch(t, dir, name, old)
			}
			g := newGate(dir)
			c.then(t, dir)
			if begun := g.begun(); begun != c.begun {
				t.Errorf("a file was begun: %t, want %t", begun, c.begun)
			}
		})
	}
}

func touch(t *testing.T, dir, name string, at time.Time) {
	t.Helper()
	path := filepath.Join(dir, "chunks_head", name)
	if err := os.WriteFile(path, []byte("chunks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "chunks_head", name)); err != nil {
		t.Fatal(err)
	}
}
