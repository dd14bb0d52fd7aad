// Checks a log with golang.org/x/mod/sumdb: its note, its tiles, its proofs of inclusion and consistency.
// Arguments: vkey, folder of the log, then "index proofFile entryFile" and "size1 root1 size2 root2 proofFile".
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
}

func hashes(text string) []tlog.Hash {
	var found []tlog.Hash
	for _, line := range strings.Fields(text) {
		content, err := base64.StdEncoding.DecodeString(line)
		must(err)
		var hash tlog.Hash
		copy(hash[:], content)
		found = append(found, hash)
	}
	return found
}

type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := os.ReadFile(t.folder + "/" + path)
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	must(err)
	signed, err := os.ReadFile(os.Args[2] + "/checkpoint")
	must(err)
	opened, err := note.Open(signed, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root := hashes(lines[2])[0]
	tree := tlog.Tree{N: size, Hash: root}
	reader := tlog.TileHashReader(tree, tiles{os.Args[2]})
	for index := int64(0); index < size; index++ {
		proof, err := tlog.ProveRecord(size, index, reader)
		must(err)
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		must(err)
		must(tlog.CheckRecord(proof, size, root, index, leaf[0]))
	}
	for one := int64(1); one <= size; one++ {
		proof, err := tlog.ProveTree(size, one, reader)
		must(err)
		older, err := tlog.TreeHash(one, reader)
		must(err)
		must(tlog.CheckTree(proof, size, root, one, older))
	}
	if len(os.Args) > 3 {
		index, err := strconv.ParseInt(os.Args[3], 10, 64)
		must(err)
		proof, err := os.ReadFile(os.Args[4])
		must(err)
		entry, err := os.ReadFile(os.Args[5])
		must(err)
		must(tlog.CheckRecord(hashes(string(proof)), size, root, index, tlog.RecordHash(entry)))
	}
	fmt.Println("accepted", size)
}
