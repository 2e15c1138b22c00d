"""The operators of families that few networks have; see ``edgewise.ops``."""

from .algebra import Cumprod, Det, Dft, Einsum
from .chosen import NonMaxSuppression, ScatterRows, UniqueSlices
from .conv3d import Conv3D, Conv3DTranspose
from .detection import DetectionPostProcess, NonMaxSuppressionV4, NonMaxSuppressionV5
from .functions import (
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Cosh,
    Erf,
    Mish,
    Sinh,
    Softplus,
    Tan,
)
from .gather import EmbeddingLookup, EmbeddingLookupFloat, Gather, GatherNd, OneHot
from .generate import BroadcastArgs, Fill, Range, Rank, Shape, ZerosLike
from .gru import Gru
from .lstm import BidirectionalSequenceLstm, Lstm, LstmSettings, UnidirectionalSequenceLstm
from .lstm_basic import BasicLstm
from .mediapipe import MaxPoolingWithArgmax2D, MaxUnpooling2D
from .narrow import NarrowFloat
from .pool_indices import MaxPoolIndices, MaxUnpool
from .random import Multinomial, RandomStandardNormal, RandomUniform
from .recurrent import Nonlinearity, Recurrent
from .rnn import BidirectionalSequenceRnn, Rnn, UnidirectionalSequenceRnn
from .sampling import DeformConv, GridSample, MaxRoiPool, RoiAlign
from .scatter import (
    DynamicUpdateSlice,
    ScatterNd,
    SegmentSum,
    SparseToDense,
    UnsortedSegmentMax,
    UnsortedSegmentMin,
    UnsortedSegmentProd,
    UnsortedSegmentSum,
)
from .sort import Bucketize, TopK, Unique, Where
from .spectral import AudioSpectrogram, ComplexAbs, Imag, Mfcc, Real, Rfft2d
from .ssd import DetectionOutput
from .stablehlo import (
    BitwiseAnd,
    Computation,
    Dilate,
    GatherSlices,
    ReduceWindow,
    RngBitGenerator,
    ScatterSlices,
    ShiftLeft,
)
from .svdf import Svdf
from .table import HashtableFind
from .text import Combiner, EmbeddingLookupSparse, HashtableLookup, LshProjection, SkipGram

__all__ = [
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "AudioSpectrogram",
    "BasicLstm",
    "BidirectionalSequenceLstm",
    "BidirectionalSequenceRnn",
    "BitwiseAnd",
    "BroadcastArgs",
    "Bucketize",
    "Combiner",
    "ComplexAbs",
    "Computation",
    "Conv3D",
    "Conv3DTranspose",
    "Cosh",
    "Cumprod",
    "DeformConv",
    "Det",
    "DetectionOutput",
    "DetectionPostProcess",
    "Dft",
    "Dilate",
    "DynamicUpdateSlice",
    "Einsum",
    "EmbeddingLookup",
    "EmbeddingLookupFloat",
    "EmbeddingLookupSparse",
    "Erf",
    "Fill",
    "Gather",
    "GatherNd",
    "GatherSlices",
    "GridSample",
    "Gru",
    "HashtableFind",
    "HashtableLookup",
    "Imag",
    "LshProjection",
    "Lstm",
    "LstmSettings",
    "MaxPoolIndices",
    "MaxPoolingWithArgmax2D",
    "MaxRoiPool",
    "MaxUnpool",
    "MaxUnpooling2D",
    "Mfcc",
    "Mish",
    "Multinomial",
    "NarrowFloat",
    "NonMaxSuppression",
    "NonMaxSuppressionV4",
    "NonMaxSuppressionV5",
    "Nonlinearity",
    "OneHot",
    "RandomStandardNormal",
    "RandomUniform",
    "Range",
    "Rank",
    "Real",
    "Recurrent",
    "ReduceWindow",
    "Rfft2d",
    "RngBitGenerator",
    "Rnn",
    "RoiAlign",
    "ScatterNd",
    "ScatterRows",
    "ScatterSlices",
    "SegmentSum",
    "Shape",
    "ShiftLeft",
    "Sinh",
    "SkipGram",
    "Softplus",
    "SparseToDense",
    "Svdf",
    "Tan",
    "TopK",
    "UnidirectionalSequenceLstm",
    "UnidirectionalSequenceRnn",
    "Unique",
    "UniqueSlices",
    "UnsortedSegmentMax",
    "UnsortedSegmentMin",
    "UnsortedSegmentProd",
    "UnsortedSegmentSum",
    "Where",
    "ZerosLike",
]
