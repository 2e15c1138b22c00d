"""From kernels to machine code in this process, or in a file for another device."""
