//go:build !linux

package disk

var move = linkAndRemove
