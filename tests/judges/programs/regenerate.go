// Reads the log in a folder with golang.org/x/mod/sumdb and makes everything anew, to be compared:
//
//	regenerate VKEY FOLDER < QUESTIONS    answers each "inclusion INDEX SIZE" and "consistency OLDER SIZE"
//	                                      with a line of its proof's hashes in hexadecimal
//	regenerate sign NAME TEXT             makes a key, prints its vkey, then the text as a note signed by it
//
// Exits with 3 when it refuses the note, a tile or a bundle.
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(3)
	}
}

func number(text string) int64 {
	found, err := strconv.ParseInt(text, 10, 64)
	must(err)
	return found
}

type folder string

// Go writes the tile's height into the path; tlog-tiles, where all have the same, does not.
func (f folder) path(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	if tile.L < 0 {
		path = "entries/" + strings.TrimPrefix(path, "data/")
	}
	return filepath.Join(string(f), "tile", path)
}

func (f folder) Height() int { return height }

func (f folder) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		content, err := os.ReadFile(f.path(tile))
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

// The log built anew from the entries in its bundles, as the hashes that Go stores.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		found = append(found, s[index])
	}
	return found, nil
}

func rebuilt(f folder, size int64) stored {
	var hashes stored
	var at int64
	for number := int64(0); at < size; number++ {
		width := int64(1 << height)
		if size-at < width {
			width = size - at
		}
		bundle, err := os.ReadFile(f.path(tlog.Tile{H: height, L: -1, N: number, W: int(width)}))
		must(err)
		for ; width > 0; width-- {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				must(fmt.Errorf("bundle %d: cut short", number))
			}
			length := int(binary.BigEndian.Uint16(bundle))
			more, err := tlog.StoredHashes(at, bundle[2:2+length], hashes)
			must(err)
			hashes, bundle, at = append(hashes, more...), bundle[2+length:], at+1
		}
		if len(bundle) > 0 {
			must(fmt.Errorf("bundle %d: too long", number))
		}
	}
	return hashes
}

func sign(name, text string) {
	private, public, err := note.GenerateKey(rand.Reader, name)
	must(err)
	signer, err := note.NewSigner(private)
	must(err)
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	must(err)
	fmt.Printf("%s\n%s", public, signed)
}

func main() {
	if os.Args[1] == "sign" {
		sign(os.Args[2], os.Args[3])
		return
	}
	verifier, err := note.NewVerifier(os.Args[1])
	must(err)
	log := folder(os.Args[2])
	content, err := os.ReadFile(filepath.Join(string(log), "checkpoint"))
	must(err)
	opened, err := note.Open(content, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		must(fmt.Errorf("another origin: %s", lines[0]))
	}
	size := number(lines[1])
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)

	hashes := rebuilt(log, size)
	found, err := tlog.TreeHash(size, hashes)
	must(err)
	if !bytes.Equal(found[:], root) {
		must(fmt.Errorf("the entries have another root"))
	}
	for _, tile := range tlog.NewTiles(height, 0, size) {
		if last := int(size >> (height * tile.L) & (1<<height - 1)); tile.W < 1<<height && tile.W != last {
			continue // of a smaller tree
		}
		expected, err := tlog.ReadTileData(tile, hashes)
		must(err)
		content, err := os.ReadFile(log.path(tile))
		must(err)
		if !bytes.Equal(content, expected) {
			must(fmt.Errorf("tile %s differs", tile.Path()))
		}
	}

	tree := tlog.Tree{N: size, Hash: found}
	reader := tlog.TileHashReader(tree, log) // insists on every tile's hash, up to the root
	questions := bufio.NewScanner(os.Stdin)
	for questions.Scan() {
		words := strings.Fields(questions.Text())
		first, second := number(words[1]), number(words[2])
		var proof []tlog.Hash
		if words[0] == "inclusion" {
			proof, err = tlog.ProveRecord(second, first, reader)
		} else {
			proof, err = tlog.ProveTree(second, first, reader)
		}
		must(err)
		var spelt []string
		for _, hash := range proof {
			spelt = append(spelt, fmt.Sprintf("%x", hash[:]))
		}
		fmt.Println(strings.Join(spelt, " "))
	}
}
