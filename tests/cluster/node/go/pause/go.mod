module modelyard.dev/tests/cluster/node/pause

go 1.26
