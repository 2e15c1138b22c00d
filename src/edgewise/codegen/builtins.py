"""Functions that LLVM may call by itself, since generated code has no C library to call.

Link the compiled text in where `objects.undefined` lists one of `NAMES`. They are small, not fast:
kernels do their own copying.
"""

NAMES = frozenset({"memcpy", "memmove", "memset"})

MEMORY_TEXT = """\
define hidden ptr @memcpy(ptr %to, ptr %from, i64 %n) nounwind {
  %r = call ptr @memmove(ptr %to, ptr %from, i64 %n)
  ret ptr %r
}
define hidden ptr @memmove(ptr %to, ptr %from, i64 %n) nounwind {
start:
  %t = ptrtoint ptr %to to i64
  %f = ptrtoint ptr %from to i64
  %gap = sub i64 %t, %f
  %back = icmp ult i64 %gap, %n
  %bulk = and i64 %n, -16
  br i1 %back, label %down, label %up
up:
  %i = phi i64 [ 0, %start ], [ %i2, %up.wide ], [ %i3, %up.byte ]
  %i.wide = icmp ult i64 %i, %bulk
  %i.more = icmp ult i64 %i, %n
  %a = getelementptr i8, ptr %from, i64 %i
  %b = getelementptr i8, ptr %to, i64 %i
  br i1 %i.wide, label %up.wide, label %up.rest
up.wide:
  %v = load <16 x i8>, ptr %a, align 1
  store <16 x i8> %v, ptr %b, align 1
  %i2 = add i64 %i, 16
  br label %up
up.rest:
  br i1 %i.more, label %up.byte, label %done
up.byte:
  %w = load i8, ptr %a
  store i8 %w, ptr %b
  %i3 = add i64 %i, 1
  br label %up
down:
  %j = phi i64 [ %n, %start ], [ %j2, %down.wide ], [ %j3, %down.byte ]
  %j.wide = icmp uge i64 %j, 16
  %j.more = icmp ne i64 %j, 0
  br i1 %j.wide, label %down.wide, label %down.rest
down.wide:
  %j2 = sub i64 %j, 16
  %c = getelementptr i8, ptr %from, i64 %j2
  %d = getelementptr i8, ptr %to, i64 %j2
  %x = load <16 x i8>, ptr %c, align 1
  store <16 x i8> %x, ptr %d, align 1
  br label %down
down.rest:
  br i1 %j.more, label %down.byte, label %done
down.byte:
  %j3 = sub i64 %j, 1
  %p = getelementptr i8, ptr %from, i64 %j3
  %q = getelementptr i8, ptr %to, i64 %j3
  %y = load i8, ptr %p
  store i8 %y, ptr %q
  br label %down
done:
  ret ptr %to
}
define hidden ptr @memset(ptr %to, i32 %value, i64 %n) nounwind {
start:
  %byte = trunc i32 %value to i8
  %one = insertelement <16 x i8> poison, i8 %byte, i32 0
  %all = shufflevector <16 x i8> %one, <16 x i8> poison, <16 x i32> zeroinitializer
  %bulk = and i64 %n, -16
  br label %loop
loop:
  %i = phi i64 [ 0, %start ], [ %i2, %wide ], [ %i3, %narrow ]
  %i.wide = icmp ult i64 %i, %bulk
  %i.more = icmp ult i64 %i, %n
  %p = getelementptr i8, ptr %to, i64 %i
  br i1 %i.wide, label %wide, label %rest
wide:
  store <16 x i8> %all, ptr %p, align 1
  %i2 = add i64 %i, 16
  br label %loop
rest:
  br i1 %i.more, label %narrow, label %done
narrow:
  store i8 %byte, ptr %p
  %i3 = add i64 %i, 1
  br label %loop
done:
  ret ptr %to
}
"""
"""LLVM text of memcpy, memmove and memset."""
