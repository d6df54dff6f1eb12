"""The matrix of users and writes: who there is, what they try, and an oracle written from the tables of DESIGN 2.5."""
