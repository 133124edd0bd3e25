# Reads file names, writes an assembler table of their contents (see embed.h).
{ path[NR] = $0 }
END {
	print ".section .rodata"
	for (i = 1; i <= NR; i++) {
		printf "n%d: .asciz \"%s\"\n", i, path[i]
		printf "b%d: .incbin \"%s\"\ne%d: .byte 0\n", i, path[i], i
	}
	print ".section .data.rel.ro\n.balign 8\n.globl embed_files\n.type embed_files, @object\nembed_files:"
	for (i = 1; i <= NR; i++)
		printf "\t.quad n%d, b%d, e%d - b%d\n", i, i, i, i
	print "\t.quad 0, 0, 0\n.size embed_files, . - embed_files"
	print ".section .note.GNU-stack,\"\",@progbits"
}
