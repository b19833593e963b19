//! The network as trained: exact, slow, over whole sequences. What every conversion is judged by.
