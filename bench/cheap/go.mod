module example.com/stint/bench/cheap

go 1.25.0
